"""Shapley values of the change from a reference row to a row, each with its own, against brute force."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.trees.forest import Forest
from onnxlrp.trees.rows_in_trees import Baselines, mean_of_rows
from onnxlrp.trees.shapley import shapley_contrast
from tests.operators.draws.classical import MODES, Drawing, by_numbers, samples, single
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


GIVEN = "deep_lift(baseline='input')"


def test_a_forest_in_a_file():
    """Relevance of each column is the Shapley value of its change; a constant baseline gives the same."""
    rng = np.random.default_rng(2)
    drawn = Drawing(FEATURES, depth=3).forest(rng, 4)
    source = single("TreeEnsembleRegressor", n_targets=1, **by_numbers(drawn, "target", hit_rates=True))
    x, reference = (samples(rng, 5, FEATURES).astype(np.float32) for _ in range(2))
    found = onnxlrp.Explainer(onnxlrp.convert(source, GIVEN)).compare({"x": x}, {"x": reference})
    roots = roots_of(forest_of(drawn))
    for row, other, values in zip(x, reference, found.relevance["x"], strict=True):
        game = tree_games.interventional(roots, row.astype(float), other[None].astype(float), 1)
        np.testing.assert_allclose(values, tree_games.values(game, FEATURES)[:, 0], rtol=1e-5, atol=1e-6)
    constant = onnxlrp.convert(source, onnxlrp.composites.DeepLift(baseline=reference[0]))
    alone = onnxlrp.Explainer(constant)({"x": x[:1]}).relevance["x"]
    np.testing.assert_allclose(alone, found.relevance["x"][:1], rtol=1e-5, atol=1e-6)


def classifier(rng: np.random.Generator, classes: int, post: str) -> onnx.ModelProto:
    """A scaler and a forest of two classes with one score, or of more."""
    drawn = Drawing(FEATURES, depth=3, targets=range(classes) if classes > 2 else [0]).forest(rng, 5)
    numbers = by_numbers(drawn, "class", hit_rates=True)
    labels = {"classlabels_int64s": list(range(classes)), "post_transform": post}
    forest = helper.make_node("TreeEnsembleClassifier", ["s"], ["label", "p"], domain="ai.onnx.ml", **numbers, **labels)
    scale = {"offset": [0.1, -0.2, 0.0, 0.3], "scale": [2.0, 0.5, 1.0, 3.0]}
    scaler = helper.make_node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", **scale)
    shapes = (("x", 1, ["N", FEATURES]), ("label", 7, ["N"]), ("p", 1, ["N", classes]))
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in shapes]
    graph = helper.make_graph([scaler, forest], "forest", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize(("classes", "post"), [(2, "LOGISTIC"), (3, "SOFTMAX")])
def test_a_classifier_downstream_of_a_scaler(classes, post):
    """The change of the margin, upstream of its sigmoid or softmax, is shared out among the columns."""
    source, bare = (classifier(np.random.default_rng(3), classes, kind) for kind in (post, "NONE"))
    rng = np.random.default_rng(4)
    x, reference = (samples(rng, 6, FEATURES).astype(np.float32) for _ in range(2))
    found = onnxlrp.Explainer(onnxlrp.convert(source, GIVEN, output="p")).compare({"x": x}, {"x": reference}, target=1)
    margins = onnxlrp.Explainer(onnxlrp.convert(bare, "gradient", output="p"))
    there, score = (margins({"x": rows}).outputs["p"][:, 1] for rows in (reference, x))
    np.testing.assert_allclose(found.relevance["x"].sum(1), score - there, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.base_value, there, rtol=1e-5, atol=1e-6)
    assert np.abs(found.relevance["x"]).max() > 1e-3


def test_the_largest_of_the_trees_has_no_such_values():
    rng = np.random.default_rng(2)
    numbers = by_numbers(Drawing(FEATURES, depth=2).forest(rng, 3), "target", hit_rates=True)
    source = single("TreeEnsembleRegressor", n_targets=1, aggregate_function="MAX", **numbers)
    with pytest.raises(InputError, match="does not add up its trees"):
        onnxlrp.convert(source, GIVEN)
