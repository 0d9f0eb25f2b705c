"""Shapley interactions of drawn forests against brute force over all subsets of features."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import onnxlrp
from onnxlrp.trees.forest import Forest
from onnxlrp.trees.shapley import shapley_interactions
from tests.emit.cuda_kernels import report
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import MODES, Drawing, by_numbers, samples, single
from tests.oracle import tree_games
from tests.oracle import trees as oracle
from tests.trees.in_double import forest_of, roots_of, run, with_shares

Array = np.ndarray
FEATURES = 4


def check(trees: Forest, x: Array, targets: int = 1) -> None:
    """Off the diagonal, where there is nothing; interactions are scaled by the factors of the targets."""
    factors = np.random.default_rng(0).normal(size=(len(x), targets))
    found = run(lambda op, x, c: shapley_interactions(op, trees, x, c, FEATURES), x, factors)
    off = 1 - np.eye(FEATURES)
    for row, factor, got in zip(x, factors, found, strict=True):
        game = tree_games.path_dependent(roots_of(trees), row, targets)
        wanted = tree_games.interactions(game, FEATURES) @ factor * off
        np.testing.assert_allclose(got, wanted, atol=1e-10)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("targets", [1, 3])
def test_forests(seed, targets):
    """Repeated features, several targets a leaf, missing values and every comparison."""
    rng = np.random.default_rng(seed)
    drawing = Drawing(FEATURES, depth=1 + seed, targets=range(targets), modes=MODES[: 1 + seed], missing=seed > 2)
    trees = forest_of(drawing.forest(rng, 4), targets, aggregate_function="AVERAGE" if seed % 2 else "SUM")
    check(trees, samples(rng, 5, FEATURES, missing=seed > 2), targets)


@pytest.mark.parametrize("seed", range(3))
def test_shares_of_0_and_1(seed):
    """Branches that no sample took, or hardly any, are reached with a probability of 0, or nearly that."""
    rng = np.random.default_rng(seed)
    trees = forest_of(Drawing(FEATURES, depth=5).forest(rng, 3))
    shares = rng.choice([0.0, 1e-4, 0.25, 1.0], trees.mode.size)
    check(with_shares(trees, shares), samples(rng, 8, FEATURES))


def test_trees_without_pairs():
    """Single leaves, single comparisons, and paths of one feature have no interactions."""
    rng = np.random.default_rng(4)
    stumps = Drawing(FEATURES, depth=1).forest(rng, 5)
    alone = Drawing(1, depth=3).forest(rng, 2)
    leaves = Drawing(FEATURES, depth=0).forest(rng, 3)
    for drawn in (leaves, stumps, alone, [*leaves, *stumps], [*stumps, *alone]):
        check(forest_of(drawn), samples(rng, 4, FEATURES))


def test_many_rows_and_parts(monkeypatch):
    """Rows in chunks and trees in parts add up to the same."""
    rng = np.random.default_rng(5)
    drawn = forest_of(Drawing(FEATURES, depth=4).forest(rng, 12))
    x, factors = samples(rng, 50, FEATURES), rng.normal(size=(50, 1))
    emit = functools.partial(_interactions, drawn)
    whole = run(emit, x, factors)
    for name, value in {"_PART": 64, "CHUNK": 2048, "UNCHUNKED": 0}.items():
        monkeypatch.setattr(f"onnxlrp.trees.by_quadrature.{name}", value)
    np.testing.assert_allclose(run(emit, x, factors), whole, atol=1e-12)


def _interactions(trees, op, x, factors):
    return shapley_interactions(op, trees, x, factors, FEATURES)


def test_a_converted_classifier():
    """Two classes of one score, in single precision, with an output of the model's own."""
    rng = np.random.default_rng(6)
    tables = by_numbers(Drawing(FEATURES, depth=4).forest(rng, 6), "class", hit_rates=True)
    source = single("TreeEnsembleClassifier", label=7, classlabels_int64s=[0, 1], **tables, post_transform="LOGISTIC")
    x = samples(rng, 6, FEATURES).astype(np.float32)
    proto = onnxlrp.convert(source, interactions=True).to_proto()
    report(proto)
    found = onnxruntime(proto)({"x": x, "target": np.array([0])})
    np.testing.assert_allclose(found["x_interactions"].sum(2), found["x_relevance"], rtol=1e-5, atol=1e-6)
    for row, got in zip(x, found["x_interactions"], strict=True):
        game = tree_games.path_dependent(oracle.trees(source.graph.node[0]), row, 1)
        np.testing.assert_allclose(got, -tree_games.interactions(game, FEATURES)[..., 0], rtol=1e-4, atol=1e-5)
