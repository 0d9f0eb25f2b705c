"""Tree ensembles against a walk in numpy: every comparison, every aggregate, every way the scores leave."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError, UnsupportedOperatorError
from onnxlrp.trees.covers import with_covers
from tests.operators.case import onnxruntime, reference
from tests.operators.classical_case import explain
from tests.operators.draws.classical import (
    GRID,
    MODES,
    Drawing,
    Tree,
    by_numbers,
    by_tables,
    model,
    node,
    samples,
    single,
)
from tests.oracle import trees as oracle

Array = np.ndarray
AGGREGATES = ("SUM", "AVERAGE", "MIN", "MAX")


def regressor(
    trees: list[Tree], targets: int = 1, *, hit_rates=False, kind=TensorProto.FLOAT, **attributes
) -> onnx.ModelProto:
    found = by_numbers(trees, "target", hit_rates=hit_rates, double=kind == TensorProto.DOUBLE)
    return single("TreeEnsembleRegressor", kind=kind, n_targets=targets, **found, **attributes)


def classifier(trees: list[Tree], labels=(10, 11, 12), **attributes) -> onnx.ModelProto:
    texts = isinstance(labels[0], str)
    named = {"classlabels_strings" if texts else "classlabels_int64s": list(labels)}
    label = TensorProto.STRING if texts else TensorProto.INT64
    return single("TreeEnsembleClassifier", label=label, **by_numbers(trees, "class"), **named, **attributes)


def check(source: onnx.ModelProto, x: Array, targets: int, base: Array | float = 0.0, seed: int = 0) -> None:
    """Weights on all targets: relevance is the weighted sum of what the features did; what is missing is the base."""
    weights = np.random.default_rng(seed).normal(size=(len(x), targets))
    found = explain(source, x, weights)
    exact = oracle.explain(source.graph.node[0], x, targets)
    scale = max(1.0, np.abs(exact.parts).max())
    np.testing.assert_allclose(found["y"], exact.sums + base, rtol=1e-5, atol=1e-6 * scale)
    expected = np.einsum("nft,nt->nf", exact.parts, weights)
    np.testing.assert_allclose(found["x_relevance"], expected, atol=1e-5 * scale)
    np.testing.assert_allclose(exact.parts.sum(1) + exact.base, exact.sums, atol=1e-12)
    row = found["relevance_ledger"][-1]
    assert abs(row[2] - ((exact.base + base) * weights).sum()) < 1e-4 * scale


@pytest.mark.parametrize("mode", [*MODES, "mixed"])
@pytest.mark.parametrize("missing", [False, True], ids=["present", "missing"])
def test_comparisons(mode, missing):
    """Samples on thresholds and NaN; `missing`: some nodes send NaN the way of a true comparison."""
    rng = np.random.default_rng(len(mode))
    drawing = Drawing(modes=MODES if mode == "mixed" else (mode,), missing=missing)
    x = samples(rng, 12, missing=missing).astype(np.float32)
    check(regressor(drawing.forest(rng, 5)), x, 1)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("based", [False, True], ids=["bare", "based"])
def test_aggregates(aggregate, targets, based):
    rng = np.random.default_rng(targets)
    drawing = Drawing(targets=range(targets))
    base = [0.3, -0.2, 0.7][:targets] if based else []
    attributes = {"base_values": base} if based else {}
    source = regressor(drawing.forest(rng, 4), targets, aggregate_function=aggregate, **attributes)
    check(source, samples(rng, 9).astype(np.float32), targets, np.array(base) if based else 0.0)


def test_a_target_a_tree():
    """As boosting does; and trees whose leaves speak of different targets."""
    rng = np.random.default_rng(1)
    x = samples(rng, 9).astype(np.float32)
    each = [Drawing(targets=(t % 3,)).tree(rng) for t in range(6)]
    check(regressor(each, 3), x, 3)
    uneven = Drawing().forest(rng, 5)

    def scatter(tree: Tree) -> None:
        if tree.yes is None or tree.no is None:
            tree.weights = {int(rng.integers(3)): 0.7}
            return
        scatter(tree.yes)
        scatter(tree.no)

    for tree in uneven:
        scatter(tree)
    for aggregate in AGGREGATES:
        check(regressor(uneven, 3, aggregate_function=aggregate), x, 3)


def test_rates_weigh_the_means():
    """Covers in `nodes_hitrates`; where all are alike they say nothing."""
    rng = np.random.default_rng(2)
    trees, x = Drawing().forest(rng, 4), samples(rng, 9).astype(np.float32)
    check(regressor(trees, hit_rates=True), x, 1)
    with_rates, without = (explain(regressor(trees, hit_rates=r), x)["x_relevance"] for r in (True, False))
    assert np.abs(with_rates - without).max() > 1e-2
    alike = regressor(trees)
    size = len(next(a for a in alike.graph.node[0].attribute if a.name == "nodes_modes").strings)
    alike.graph.node[0].attribute.append(helper.make_attribute("nodes_hitrates", [1.0] * size))
    np.testing.assert_array_equal(explain(alike, x)["x_relevance"], without)


def test_covers_of_the_caller():
    """As hit rates of a copy, by tree and node number; what does not fit is said."""
    rng = np.random.default_rng(2)
    trees, x = Drawing().forest(rng, 4), samples(rng, 9).astype(np.float32)
    counted = by_numbers(trees, "target", hit_rates=True)
    covers: dict[int, dict[int, float]] = {}
    for tree, number, rate in zip(
        counted["nodes_treeids"], counted["nodes_nodeids"], counted["nodes_hitrates"], strict=True
    ):
        covers.setdefault(tree, {})[number] = rate
    source = regressor(trees)
    before = source.SerializeToString(deterministic=True)
    given = with_covers(source, list(covers.values()))
    assert source.SerializeToString(deterministic=True) == before
    expected = explain(regressor(trees, hit_rates=True), x)["x_relevance"]
    np.testing.assert_array_equal(explain(given, x)["x_relevance"], expected)
    with pytest.raises(InputError, match="1 trees are given"):
        with_covers(source, [{}])
    with pytest.raises(InputError, match="has no cover"):
        with_covers(source, [{}] * 4)
    with pytest.raises(InputError, match="has none"):
        with_covers(source, [{}] * 4, node="another")


@pytest.mark.parametrize("hit_rates", [False, True])
@pytest.mark.parametrize("aggregate", range(4))
def test_tree_ensemble(aggregate, hit_rates):
    """The newest form, in both runtimes: sets, and leaves that have no rate of their own."""
    rng = np.random.default_rng(3)
    drawing = Drawing(modes=(*MODES, "BRANCH_MEMBER"), missing=True)
    trees = [t for t in drawing.forest(rng, 8) if t.mode]
    for tree in trees:
        tree.weights = {}
    tables = by_tables(trees, 1, hit_rates=hit_rates)
    source = single("TreeEnsemble", version=5, aggregate_function=aggregate, **tables)
    # onnxruntime takes fractions for members of sets that hold a number past 30.
    x = samples(rng, 12, missing=True).round().astype(np.float32)
    check(source, x, 1)


def test_in_double():
    """Thresholds of doubles tell apart what floats do not."""
    rng = np.random.default_rng(4)
    trees = [t for t in Drawing().forest(rng, 6) if t.mode]
    near = np.nextafter(GRID, 9)
    x = np.concatenate([samples(rng, 6), rng.choice(near, (6, 4))])
    source = single("TreeEnsemble", kind=TensorProto.DOUBLE, version=5, **by_tables(trees, 1, floating=np.float64))
    for runner in (onnxruntime, reference):
        found = explain(source, x, runner=runner)
        exact = oracle.explain(source.graph.node[0], x, 1)
        np.testing.assert_allclose(found["x_relevance"], exact.parts[..., 0], atol=1e-12)
        assert found["x_relevance"].dtype == np.float64
    deployed = regressor(trees, kind=TensorProto.DOUBLE)
    exact = oracle.explain(deployed.graph.node[0], x, 1)
    np.testing.assert_allclose(explain(deployed, x)["x_relevance"], exact.parts[..., 0], atol=1e-5)


def test_of_integers():
    rng = np.random.default_rng(5)
    source = classifier(Drawing(targets=range(3), modes=("BRANCH_LEQ", "BRANCH_EQ")).forest(rng, 4))
    source.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64
    x = rng.integers(-2, 3, (8, 4))
    exact = oracle.explain(source.graph.node[0], x, 3)
    expected = exact.parts[np.arange(8), :, exact.sums.argmax(1)]
    np.testing.assert_allclose(explain(source, x)["x_relevance"], expected, atol=1e-5)


def test_a_score_of_zero():
    """What the features did is told even where they cancel the base exactly."""
    tree = Tree(1, mode="BRANCH_LEQ", yes=Tree(1, {0: 0.0}), no=Tree(1, {0: 1.0}))
    found = explain(regressor([tree]), np.array([[-1, 0, 0, 0], [1, 0, 0, 0]], np.float32))
    np.testing.assert_allclose(found["x_relevance"][:, 0], [-0.5, 0.5])


def test_only_leaves():
    """A forest that never asks: all is base."""
    found = explain(regressor([Tree(1, {0: 0.25}), Tree(1, {0: 0.5})]), np.zeros((2, 4), np.float32))
    assert not found["x_relevance"].any()
    np.testing.assert_allclose(found["relevance_ledger"][-1], [1.5, 0, 1.5, 0, 0])


def test_the_gradient_is_zero():
    rng = np.random.default_rng(7)
    source = regressor(Drawing().forest(rng, 3))
    found = explain(source, samples(rng, 4).astype(np.float32), composite="gradient")
    assert not found["x_relevance"].any()
    assert any("gradients are 0 at" in note for note in onnxlrp.convert(source, "gradient").plan.notes)
    assert not onnxlrp.convert(source, "epsilon").plan.notes


# ------------------------------------------------------------------------------------------------ what scores become


POST = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")


@pytest.mark.parametrize("post", POST)
@pytest.mark.parametrize("targets", [1, 2, 3])
def test_transformed_sums(post, targets):
    """The outputs are onnxruntime's; explained is the score before a softmax or sigmoid."""
    rng = np.random.default_rng(8)
    trees = Drawing(targets=range(targets), positive=True).forest(rng, 3)
    scale = {"base_values": [-0.1] * targets} if post == "SOFTMAX_ZERO" else {}
    source = regressor(trees, targets, post_transform=post, aggregate_function="AVERAGE", **scale)
    x = samples(rng, 8).astype(np.float32)
    # Near p = ½ the transform itself cancels in single precision.
    found = explain(source, x, atol=3e-5 if post == "PROBIT" else 1e-6)
    exact = oracle.explain(source.graph.node[0], x, targets)
    scores = exact.sums + (scale["base_values"][0] if scale else 0.0)
    chosen = scores.argmax(1)
    if post != "PROBIT":
        rows = np.arange(len(x))
        np.testing.assert_allclose(found["x_relevance"], exact.parts[rows, :, chosen], atol=1e-5)


@pytest.mark.parametrize("targets", [1, 2])
def test_several_weights_of_a_leaf(targets):
    """onnxruntime adds them up, but takes the first of those for an only target."""
    rng = np.random.default_rng(targets)
    source = regressor(Drawing(targets=range(targets)).forest(rng, 4), targets, hit_rates=True)
    for attribute in source.graph.node[0].attribute:
        if attribute.name.startswith("target_"):
            attribute.ints.extend(attribute.ints[::2])
            attribute.floats.extend(2 * w for w in attribute.floats[::2])
    x = samples(rng, 9).astype(np.float32)
    for target in range(targets):
        found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))({"x": x}, target=target)
        assert found.base_value is not None
        np.testing.assert_allclose(
            found.relevance["x"].sum(1) + found.base_value, found.outputs["y"][:, target], rtol=1e-5
        )


@pytest.mark.parametrize("number", range(4))
def test_transforms_by_number(number):
    """TreeEnsemble names them by numbers, which are onnxruntime's."""
    rng = np.random.default_rng(number)
    trees = [tree for tree in Drawing(targets=(0,)).forest(rng, 6) if tree.mode]
    tables = by_tables(trees, 3)
    tables["leaf_targetids"] = [i % 3 for i, _ in enumerate(tables["leaf_targetids"])]
    x = samples(rng, 8).astype(np.float32)
    # `explain` compares the outputs with those of onnxruntime.
    explain(single("TreeEnsemble", version=5, post_transform=number, **tables), x, atol=1e-6)


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("labels", [(10, 11, 12), ("a", "b", "c"), (10, 11), (10,)])
@pytest.mark.parametrize("post", POST[:4])
def test_classifiers(post, labels, version):
    """Labels are the operator's own, integers or texts; every class has weights."""
    rng = np.random.default_rng(len(labels))
    source = classifier(Drawing(targets=range(len(labels))).forest(rng, 5), labels, post_transform=post)
    source.opset_import[1].version = version
    x = samples(rng, 9).astype(np.float32)
    found = explain(source, x)
    exact = oracle.explain(source.graph.node[0], x, len(labels))
    chosen = exact.sums.argmax(1)
    np.testing.assert_allclose(found["x_relevance"], exact.parts[np.arange(9), :, chosen], atol=1e-5)


@pytest.mark.parametrize("post", POST[:4])
@pytest.mark.parametrize("positive", [False, True], ids=["mixed", "positive"])
@pytest.mark.parametrize("based", [False, True], ids=["bare", "based"])
def test_two_classes_of_one_score(post, positive, based):
    """Weights of one class alone: its score is `s`, the other's `−s` or `1 − s`."""
    rng = np.random.default_rng(9)
    attributes = {"base_values": [0.2]} if based else {}
    source = classifier(Drawing(positive=positive).forest(rng, 4), (10, 11), post_transform=post, **attributes)
    x = samples(rng, 9).astype(np.float32)
    exact = oracle.explain(source.graph.node[0], x, 1)
    for column, sign in ((0, -1), (1, 1)):
        chosen = np.eye(2)[np.full(9, column)]
        found = explain(source, x, chosen, explain_probability=False)
        np.testing.assert_allclose(found["x_relevance"], sign * exact.parts[..., 0], atol=1e-5)
        base = exact.base[:, 0] + (0.2 if based else 0.0)
        first = (1 - base if positive and post != "LOGISTIC" else -base) if column == 0 else base
        assert abs(found["relevance_ledger"][:, 2].sum() - first.sum()) < 1e-4


def test_two_classes_of_the_second_score():
    rng = np.random.default_rng(10)
    x = samples(rng, 9).astype(np.float32)
    for based in ({}, {"base_values": [0.2]}):
        source = classifier(Drawing(targets=(1,)).forest(rng, 4), (10, 11), **based)
        exact = oracle.explain(source.graph.node[0], x, 2)
        found = explain(source, x, np.ones((9, 2)))
        np.testing.assert_allclose(found["x_relevance"], exact.parts[..., 1], atol=1e-5)


def test_two_classes_of_two_scores_and_one_base():
    rng = np.random.default_rng(11)
    source = classifier(Drawing(targets=(0, 1)).forest(rng, 4), (10, 11), base_values=[0.3])
    x = samples(rng, 9).astype(np.float32)
    found = explain(source, x, np.ones((9, 2)))
    exact = oracle.explain(source.graph.node[0], x, 2)
    np.testing.assert_allclose(found["x_relevance"], exact.parts.sum(-1), atol=1e-5)
    assert abs(found["relevance_ledger"][-1, 2] - (exact.base.sum() + 9 * 0.3)) < 1e-4


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [({"base_values": [0.1, 0.2]}, "two base values"), ({"post_transform": "PROBIT"}, "PROBIT")],
)
def test_what_runtimes_disagree_on_is_refused(attributes, reason):
    rng = np.random.default_rng(12)
    with pytest.raises(UnsupportedOperatorError, match=reason):
        onnxlrp.convert(classifier(Drawing().forest(rng, 2), (10, 11), **attributes))


def test_a_tree_without_an_end_is_no_model():
    loop = {"nodes_treeids": [0, 0], "nodes_nodeids": [0, 1], "nodes_featureids": [0, 0], "nodes_values": [0.0, 0.0]}
    loop |= {"nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ"], "nodes_truenodeids": [1, 0], "nodes_falsenodeids": [1, 0]}
    leaf = {"target_treeids": [0], "target_nodeids": [1], "target_ids": [0], "target_weights": [1.0]}
    with pytest.raises(InvalidModelError, match="own nodes"):
        onnxlrp.convert(single("TreeEnsembleRegressor", n_targets=1, **loop, **leaf))
    loop["nodes_truenodeids"] = [7, 0]
    with pytest.raises(InvalidModelError, match="does not have"):
        onnxlrp.convert(single("TreeEnsembleRegressor", n_targets=1, **loop, **leaf))


# ------------------------------------------------------------------------------------------------ inside a network


@pytest.mark.parametrize("composite", ["auto", "epsilon_plus_flat", "lrp0"])
def test_behind_preparation(composite):
    """An affine step between the columns and a forest passes, however it is written."""
    rng = np.random.default_rng(13)
    forest = by_numbers(Drawing().forest(rng, 4), "target")
    offset, scale = rng.normal(size=4), rng.uniform(0.5, 2, 4)
    x = samples(rng, 7).astype(np.float32)
    tree = node("TreeEnsembleRegressor", ["s"], ["y"], n_targets=1, **forest)
    exact = oracle.explain(tree, (x - offset.astype(np.float32)) * scale.astype(np.float32), 1)
    ready = [
        ([node("Scaler", ["x"], ["s"], offset=offset.tolist(), scale=scale.tolist())], {}),
        (
            [helper.make_node("Sub", ["x", "o"], ["c"]), helper.make_node("Mul", ["c", "f"], ["s"])],
            {"o": offset.astype(np.float32), "f": scale.astype(np.float32)},
        ),
    ]
    for nodes, constants in ready:
        inputs = {"x": (TensorProto.FLOAT, ["N", 4])}
        source = model([*nodes, tree], inputs, {"y": TensorProto.FLOAT}, constants)
        found = explain(source, x, composite=composite)
        np.testing.assert_allclose(found["x_relevance"], exact.parts[..., 0], atol=1e-5)


def test_in_front_of_a_layer():
    """Stacked: what arrives is no factor of the scores any more."""
    rng = np.random.default_rng(14)
    forest = by_numbers(Drawing(targets=range(3)).forest(rng, 4), "target")
    tree = node("TreeEnsembleRegressor", ["x"], ["t"], n_targets=3, **forest)
    w = rng.normal(size=(3, 2)).astype(np.float32)
    nodes = [tree, helper.make_node("Relu", ["t"], ["a"]), helper.make_node("Gemm", ["a", "w"], ["y"])]
    x = samples(rng, 7).astype(np.float32)
    source = model(nodes, {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": TensorProto.FLOAT}, {"w": w})
    found = explain(source, x)
    exact = oracle.explain(tree, x, 3)
    chosen = found["y"].argmax(1)
    slope = np.where(exact.sums > 0, w[:, chosen].T, 0)
    np.testing.assert_allclose(found["x_relevance"], np.einsum("nft,nt->nf", exact.parts, slope), atol=1e-4)


def test_several_targets_at_once():
    rng = np.random.default_rng(15)
    source = classifier(Drawing(targets=range(3)).forest(rng, 4))
    x = samples(rng, 5).astype(np.float32)
    explained = onnxruntime(onnxlrp.convert(source, targets=2).to_proto())
    found = explained({"x": x, "target": np.array([[0, 2]])})["x_relevance"]
    exact = oracle.explain(source.graph.node[0], x, 3)
    np.testing.assert_allclose(found, exact.parts[..., [0, 2]].swapaxes(1, 2), atol=1e-5)


def test_tensors_beside_the_lists():
    """Values, weights, hit rates and bases may be tensors."""
    rng = np.random.default_rng(16)
    trees, x = Drawing().forest(rng, 3), samples(rng, 5)
    base = numpy_helper.from_array(np.array([0.5]), "base")
    source = regressor(trees, kind=TensorProto.DOUBLE, hit_rates=True, base_values_as_tensor=base)
    exact = oracle.explain(source.graph.node[0], x, 1)
    found = explain(source, x)
    np.testing.assert_allclose(found["x_relevance"], exact.parts[..., 0], atol=1e-5)
    assert abs(found["relevance_ledger"][-1, 2] - (exact.base + 0.5).sum()) < 1e-4
