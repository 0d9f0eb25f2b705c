"""Interventional Shapley values and interactions against brute force over all subsets of features."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from onnxlrp.trees.forest import Forest
from onnxlrp.trees.rows_in_trees import Baselines, mean_of_rows
from onnxlrp.trees.shapley import shapley_interactions, shapley_values
from onnxlrp.trees.table_budget import TableBudget
from tests.operators.draws.classical import MODES, Drawing, samples
from tests.oracle import tree_games
from tests.trees.in_double import emitted, forest_of, roots_of, run

Array = np.ndarray
FEATURES = 4


def emitted_values(trees: Forest, background: Baselines, most: int, op: Any, x: Any, factors: Any) -> Any:
    return shapley_values(op, trees, x, factors, TableBudget(most), background)


def emitted_interactions(trees: Forest, background: Baselines, op: Any, x: Any, factors: Any) -> Any:
    return shapley_interactions(op, trees, x, factors, FEATURES, background)


def check(trees: Forest, x: Array, rows: Array, targets: int = 1) -> None:
    """Rows weigh 1, 2, 1, 2, …: brute force has each second row twice."""
    repeats = 1 + np.arange(len(rows)) % 2
    background = Baselines(rows, repeats / repeats.sum())
    factors = np.random.default_rng(0).normal(size=(len(x), targets))
    found = run(functools.partial(emitted_values, trees, background, 0), x, factors)
    by_tables = run(functools.partial(emitted_values, trees, background, 2**20), x, factors)
    np.testing.assert_allclose(by_tables, found, atol=1e-10)
    pairs = run(functools.partial(emitted_interactions, trees, background), x, factors)
    off = 1 - np.eye(FEATURES)
    base = mean_of_rows(trees, background)
    for row, factor, values, together in zip(x, factors, found, pairs, strict=True):
        game = tree_games.interventional(roots_of(trees), row, np.repeat(rows, repeats, axis=0), targets)
        np.testing.assert_allclose(values, tree_games.values(game, FEATURES) @ factor, atol=1e-10)
        np.testing.assert_allclose(together, tree_games.interactions(game, FEATURES) @ factor * off, atol=1e-10)
        np.testing.assert_allclose(base, game(frozenset()), atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("targets", [1, 3])
def test_forests(seed, targets):
    """Repeated features, several targets a leaf, missing values and every comparison."""
    rng = np.random.default_rng(seed)
    missing = seed > 2
    drawing = Drawing(FEATURES, depth=1 + seed, targets=range(targets), modes=MODES[: 1 + seed], missing=missing)
    trees = forest_of(drawing.forest(rng, 3), targets, aggregate_function="AVERAGE" if seed % 2 else "SUM")
    rows = samples(rng, 1 + 2 * seed, FEATURES, missing=missing)
    check(trees, samples(rng, 4, FEATURES, missing=missing), rows, targets)


def test_many_rows_and_parts(monkeypatch):
    """Rows in chunks and trees in parts add up to the same."""
    rng = np.random.default_rng(5)
    for name, value in {"_PART": 32, "CHUNK": 1024, "UNCHUNKED": 0}.items():
        monkeypatch.setattr(f"onnxlrp.trees.by_quadrature.{name}", value)
    check(forest_of(Drawing(FEATURES, depth=4).forest(rng, 6)), samples(rng, 12, FEATURES), samples(rng, 5, FEATURES))


def test_tables_hold_no_rows():
    """No constant of the graph is a row, or has an axis for the rows; neither by tables nor by quadrature."""
    rng = np.random.default_rng(7)
    trees, rows = forest_of(Drawing(FEATURES, depth=4).forest(rng, 5)), rng.normal(size=(17, FEATURES))
    for most in (0, 2**20):
        graph = emitted(functools.partial(emitted_values, trees, Baselines(rows, np.full(17, 1 / 17)), most), FEATURES)
        constants = [v.const_value.numpy() for v in graph.initializers.values() if v.const_value is not None]
        floats = [c.reshape(-1) for c in constants if c.dtype.kind == "f"]
        assert not np.isin(rows, np.concatenate(floats)).any()
        assert most == 0 or not any(17 in c.shape for c in constants)
