"""Base values of ensembles: the games of their Shapley values where no feature is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from onnxlrp.graph.call import Call
from onnxlrp.trees.base_scores import base_scores
from onnxlrp.trees.ensemble_attributes import forest
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import MODES, Drawing, by_numbers, samples, single
from tests.oracle import tree_games
from tests.trees.in_double import roots_of

NOTHING: frozenset[int] = frozenset()


def call_of(op_type: str, **attributes) -> Call:
    label = {"label": 7} if op_type == "TreeEnsembleClassifier" else {}
    (node,) = ir.serde.deserialize_model(single(op_type, kind=11, **label, **attributes)).graph
    return Call.of(node)


def played(call: Call, background: np.ndarray) -> Call:
    """The call as the planner hands it over for interventional values."""
    more = ir.AttrTensor("background", ir.Tensor(background)), ir.AttrString("game", "interventional")
    return dataclasses.replace(call, attributes={**call.attributes, **{a.name: a for a in more}})


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("targets", [1, 3])
def test_nothing_is_known(seed, targets):
    rng = np.random.default_rng(seed)
    trees = Drawing(targets=range(targets), modes=MODES, missing=True).forest(rng, 4)
    bases = {"base_values": rng.normal(size=targets).tolist()} if seed % 2 else {}
    tables = by_numbers(trees, "target", hit_rates=True, double=True)
    aggregate = ("SUM", "AVERAGE")[seed // 2]
    call = call_of("TreeEnsembleRegressor", n_targets=targets, aggregate_function=aggregate, **tables, **bases)
    roots, own = roots_of(forest(call)), np.array(bases.get("base_values", [0.0] * targets), np.float32)
    game = tree_games.path_dependent(roots, np.zeros(4), targets)
    np.testing.assert_allclose(base_scores(call), (game(NOTHING) + own)[None], atol=1e-12)
    rows = samples(rng, 6, missing=True)
    game = tree_games.interventional(roots, rows[0], rows, targets)
    np.testing.assert_allclose(base_scores(played(call, rows)), (game(NOTHING) + own)[None], atol=1e-12)


def test_one_score_for_two_classes():
    """The first class has one less the score of the second."""
    tables = by_numbers(Drawing(positive=True).forest(np.random.default_rng(0), 3), "class", hit_rates=True)
    call = call_of("TreeEnsembleClassifier", classlabels_int64s=[0, 1], base_values=[0.25], **tables)
    (score,) = tree_games.path_dependent(roots_of(forest(call)), np.zeros(4), 2)(NOTHING)[:1]
    np.testing.assert_allclose(base_scores(call), [[1 - score - 0.25, score + 0.25]])


@pytest.mark.parametrize("aggregate", ["MIN", "MAX"])
def test_the_chosen_tree_differs_from_sample_to_sample(aggregate):
    tables = by_numbers(Drawing().forest(np.random.default_rng(1), 3), "target")
    assert base_scores(call_of("TreeEnsembleRegressor", n_targets=1, aggregate_function=aggregate, **tables)) is None


def leaves_of(speaking: list[tuple[int, ...]], kind: str, trees: int = 1, **attributes) -> dict:
    """Trees of one comparison each, whose two leaves have weights for the given targets."""
    weights = [(tree, leaf, target) for tree in range(trees) for leaf in (0, 1) for target in speaking[leaf]]
    return {
        "nodes_treeids": [t for t in range(trees) for _ in range(3)],
        "nodes_nodeids": [0, 1, 2] * trees,
        "nodes_featureids": [0, 0, 0] * trees,
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * trees,
        "nodes_values": [0.0] * 3 * trees,
        "nodes_truenodeids": [1, 0, 0] * trees,
        "nodes_falsenodeids": [2, 0, 0] * trees,
        f"{kind}_treeids": [tree for tree, _, _ in weights],
        f"{kind}_nodeids": [1 + leaf for _, leaf, _ in weights],
        f"{kind}_ids": [target for _, _, target in weights],
        f"{kind}_weights": [1.0 + tree + leaf + target for tree, leaf, target in weights],
        **attributes,
    }


def explained(source: onnx.ModelProto, target: int) -> onnxlrp.Explanation:
    x = np.float32([[-1, 0], [1, 0], [2, 0]])
    converted = onnxlrp.convert(source, ledger=True)
    found = onnxlrp.Explainer(converted)({"x": x}, target=target)
    for name, value in onnxruntime(source)({"x": x}).items():
        np.testing.assert_array_equal(found.outputs[name], value)
    assert found.ledger is not None
    assert any(found.ledger.marked) == (found.base_value is None)
    if found.base_value is not None:
        np.testing.assert_allclose(found.relevance["x"].sum(1) + found.base_value, found.raw_score, rtol=1e-6)
        assert found.ledger.gaps.max() < 1e-6
    return found


@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
@pytest.mark.parametrize("trees", [1, 2])
def test_a_target_without_weights_gets_no_base_value(trees, aggregate):
    """onnxruntime adds a base value to one of several targets only where a leaf has a weight for it."""
    tables = leaves_of([(0, 1), (1,)], "target", trees, base_values=[10.0, 20.0, 30.0], aggregate_function=aggregate)
    source = single("TreeEnsembleRegressor", width=2, n_targets=3, **tables)
    assert all(explained(source, target).base_value is None for target in range(3))
    always = leaves_of([(0, 1), (0, 1)], "target", trees, base_values=[10.0, 20.0, 30.0], aggregate_function=aggregate)
    source = single("TreeEnsembleRegressor", width=2, n_targets=3, **always)
    assert all(explained(source, target).base_value is not None for target in range(3))


def test_leaves_of_one_of_two_classes():
    """onnxruntime answers them by other rules: no base value without a transform, and refused with one."""
    tables = leaves_of([(0,), (1,)], "class", classlabels_int64s=[0, 1])
    plain = single("TreeEnsembleClassifier", width=2, label=7, **tables)
    assert explained(plain, 1).base_value is None
    changed = single("TreeEnsembleClassifier", width=2, label=7, post_transform="SOFTMAX", **tables)
    with pytest.raises(UnsupportedOperatorError, match="no weight for one of its two classes"):
        onnxlrp.convert(changed)
    for speaking, more in (([(1,), ()], {}), ([(0,), ()], {"base_values": [0.5]})):
        tables = leaves_of(speaking, "class", classlabels_int64s=[0, 1], **more)
        assert explained(single("TreeEnsembleClassifier", width=2, label=7, **tables), 0).base_value is None
    both = leaves_of([(0,), (0, 1)], "class", classlabels_int64s=[0, 1, 2])
    assert explained(single("TreeEnsembleClassifier", width=2, label=7, **both), 1).base_value is not None
