"""Shapley values of the change from a reference row to a row, each with its own, against brute force."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

from onnxlrp.trees.forest import Forest
from onnxlrp.trees.rows_in_trees import Baselines, mean_of_rows
from onnxlrp.trees.shapley import shapley_contrast
from tests.operators.draws.classical import MODES, Drawing, samples
from tests.oracle import tree_games
from tests.trees.in_double import forest_of, roots_of, run

Array = np.ndarray
FEATURES = 4


def emitted_contrast(trees: Forest, op: Any, both: Any, factors: Any) -> Any:
    """The values of rows in the first half of the columns, against those in the second half."""
    x, reference = op.Split(both, axis=1, num_outputs=2, _outputs=2)
    return shapley_contrast(op, trees, x, reference, factors)


def check(trees: Forest, x: Array, reference: Array, targets: int = 1) -> None:
    factors = np.random.default_rng(0).normal(size=(len(x), targets))
    found = run(functools.partial(emitted_contrast, trees), np.concatenate([x, reference], axis=1), factors)
    for row, other, factor, values in zip(x, reference, factors, found, strict=True):
        game = tree_games.interventional(roots_of(trees), row, other[None], targets)
        np.testing.assert_allclose(values, tree_games.values(game, FEATURES) @ factor, atol=1e-10)
        score, there = (mean_of_rows(trees, Baselines(r[None], np.ones(1))) @ factor for r in (row, other))
        np.testing.assert_allclose(values.sum(), score - there, atol=1e-10)
        assert not values[row == other].any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("targets", [1, 3])
def test_forests(seed, targets):
    """Repeated features, several targets a leaf, missing values and every comparison; some features are equal."""
    rng = np.random.default_rng(seed)
    missing = seed > 2
    drawing = Drawing(FEATURES, depth=1 + seed, targets=range(targets), modes=MODES[: 1 + seed], missing=missing)
    trees = forest_of(drawing.forest(rng, 3), targets, aggregate_function="AVERAGE" if seed % 2 else "SUM")
    x, reference = (samples(rng, 5, FEATURES, missing=missing) for _ in range(2))
    reference[::2, seed % FEATURES] = x[::2, seed % FEATURES]
    check(trees, x, reference, targets)


def test_many_rows_and_parts(monkeypatch):
    """Rows in chunks and trees in parts: each chunk has its own references."""
    rng = np.random.default_rng(5)
    for name, value in {"_PART": 32, "CHUNK": 1024, "UNCHUNKED": 0}.items():
        monkeypatch.setattr(f"onnxlrp.trees.by_quadrature.{name}", value)
    trees = forest_of(Drawing(FEATURES, depth=4).forest(rng, 6))
    check(trees, samples(rng, 12, FEATURES), samples(rng, 12, FEATURES))
