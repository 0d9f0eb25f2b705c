"""Covers of trained models, without their packages, and files whose trees agree with them or not."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from tests.operators.draws.classical import Tree, by_numbers, by_tables, model, node, single


def stump(threshold: float = 0.5, mode: str = "BRANCH_LEQ", feature: int = 1) -> Tree:
    """Three samples of ten beyond the threshold, six or one of the others at their leaves."""
    low = Tree(0, mode=mode, feature=0, threshold=-1.0, yes=Tree(0, {0: 1.0}), no=Tree(0, {0: 2.0}))
    high = Tree(0, {0: 3.0})
    turned = mode in ("BRANCH_GT", "BRANCH_GTE")
    sides = {"yes": high, "no": low} if turned else {"yes": low, "no": high}
    if turned:
        low.yes, low.no = low.no, low.yes
    return Tree(0, mode=mode, feature=feature, threshold=threshold, **sides)


def scikit_learn(*covers: float) -> Any:
    """The stump as scikit-learn's tree."""
    columns: dict[str, Any] = {"weighted_n_node_samples": covers or (10, 7, 6, 1, 3), "feature": [1, 0, -2, -2, -2]}
    columns |= {"threshold": [0.5, -1.0, -2, -2, -2], "children_left": [1, 2, -1, -1, -1]}
    return types.SimpleNamespace(tree_=types.SimpleNamespace(**columns, children_right=[4, 3, -1, -1, -1]))


def hit_rates(given: onnx.ModelProto) -> list[list[float]]:
    found = []
    for one in given.graph.node:
        for attribute in one.attribute:
            if attribute.name == "nodes_hitrates":
                value = helper.get_attribute_value(attribute)
                found.append(list(numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value))
    return found


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"])
def test_trees_are_matched_by_structure(mode):
    """Whatever number a node has in the file, and whichever side is the true one."""
    source = single("TreeEnsembleRegressor", n_targets=1, **by_numbers([stump(mode=mode), Tree(1, {0: 1.0})], "target"))
    leaf = {"weighted_n_node_samples": [10], "feature": [-2], "threshold": [-2], "children_left": [-1]}
    trained = types.SimpleNamespace(
        estimators_=[scikit_learn(), types.SimpleNamespace(tree_=types.SimpleNamespace(**leaf, children_right=[-1]))]
    )
    (rates,) = hit_rates(onnxlrp.with_covers(source, onnxlrp.covers_of(trained)))
    turned = mode in ("BRANCH_GT", "BRANCH_GTE")
    assert rates == ([10, 3, 7, 1, 6, 10] if turned else [10, 7, 6, 1, 3, 10])


def test_several_ensembles_in_the_order_of_their_nodes():
    trees = [node("TreeEnsembleRegressor", ["x"], [y], n_targets=1, **by_numbers([stump()], "target")) for y in "ab"]
    total = helper.make_node("Add", ["a", "b"], ["y"])
    source = model([*trees, total], {"x": (onnx.TensorProto.FLOAT, ["N", 4])}, {"y": onnx.TensorProto.FLOAT})
    trained = types.SimpleNamespace(estimators_=np.array([[scikit_learn()], [scikit_learn(20, 12, 4, 8, 8)]]))
    assert hit_rates(onnxlrp.with_covers(source, onnxlrp.covers_of(trained))) == [[10, 7, 6, 1, 3], [20, 12, 4, 8, 8]]


def test_the_newest_operator_has_rates_of_its_comparisons():
    source = single("TreeEnsemble", version=5, **by_tables([stump(), stump()], 1))
    trained = types.SimpleNamespace(estimators_=[scikit_learn(), scikit_learn(20, 12, 4, 8, 8)])
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(trained))
    assert hit_rates(given) == [[10, 7, 20, 12]]
    onnxlrp.Explainer(onnxlrp.convert(given))({"x": np.zeros((1, 4), np.float32)})
    with pytest.raises(InputError, match="have no numbers"):
        onnxlrp.with_covers(source, [[10, 7, 20, 12, 3]] * 2)


def test_a_set_of_categories_is_a_chain_in_the_file():
    """LightGBM's set of three: the samples of its true branch are shared out evenly over the chain."""
    leaves = [Tree(0, {0: 1.0}), Tree(0, {0: 2.0})]
    chain = leaves[1]
    for category in (6.0, 3.0, 1.0):
        chain = Tree(0, mode="BRANCH_EQ", feature=0, threshold=category, yes=leaves[0], no=chain)
    split = {"split_feature": 0, "threshold": "1||3||6", "decision_type": "==", "internal_count": 40}
    split |= {"left_child": {"leaf_count": 30}, "right_child": {"leaf_count": 10}}
    booster = types.SimpleNamespace(dump_model=lambda: {"tree_info": [{"tree_structure": split}]})
    (rates,) = hit_rates(
        onnxlrp.with_covers(
            single("TreeEnsembleRegressor", n_targets=1, **by_numbers([chain], "target")),
            onnxlrp.covers_of(types.SimpleNamespace(booster_=booster)),
        )
    )
    assert rates == [40, 10, 30, 10, 20, 10, 10]


def test_symmetric_trees_of_catboost():
    """The last split stands at the root; a bit of a leaf's index tells the side of each split."""

    class Model:
        def get_leaf_weights(self) -> None: ...

        def save_model(self, path: str, format: str) -> None:
            splits = [
                {"border": b, "float_feature_index": f, "split_type": "FloatFeature"} for b, f in ((-1, 0), (0.5, 1))
            ]
            one = {"splits": splits, "leaf_weights": [4, 3, 2, 1]}
            Path(path).write_text(json.dumps({"oblivious_trees": [one]}))

    (tree,) = onnxlrp.covers_of(Model())
    np.testing.assert_array_equal(tree.cover, [10, 7, 3, 4, 3, 2, 1])
    np.testing.assert_array_equal(tree.feature[:3], [1, 0, 0])
    np.testing.assert_array_equal(tree.low[:3], [1, 3, 5])


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (
            stump(threshold=0.6),
            "the threshold differs in tree 0 .*BRANCH_LEQ of feature 1 and 0.6, .* feature 1 with 0.5",
        ),
        (stump(feature=2), "the feature differs"),
        (stump(mode="BRANCH_EQ"), "the comparison differs"),
        (Tree(1, {0: 1.0}), "the kind of node differs .* node 0, a leaf, .* compares feature 1 with 0.5"),
    ],
)
def test_the_first_difference_is_named(tree, said):
    source = single("TreeEnsembleRegressor", n_targets=1, **by_numbers([tree], "target"))
    with pytest.raises(InputError, match=said):
        onnxlrp.with_covers(source, onnxlrp.covers_of(scikit_learn()))


def test_models_of_another_kind():
    with pytest.raises(InputError, match="SimpleNamespace holds no trees that are known here"):
        onnxlrp.covers_of(types.SimpleNamespace())
    with pytest.raises(InputError, match="is it fitted"):
        onnxlrp.covers_of(types.SimpleNamespace(tree_=None, dump_model=dict))
