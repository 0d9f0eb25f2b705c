"""Functions of one tree are trees: depths looked up by the number of a leaf, votes of one tree, and sums of them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import NothingToExplainError
from tests.operators.case import onnxruntime

Array = np.ndarray
ML = "ai.onnx.ml"
X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
LEAVES = ([1.0, 3.0, 4.0], [1.0, 3.0, 4.0])
"""The numbers of each tree's leaves: x₀ > t ? leaf 4 : (x₁ > t ? leaf 3 : leaf 1)."""
DEPTHS = {1: 2.5, 3: 2.0, 4: 1.0}


def tree(index: int, weights: Array | list, threshold: float, kind: str = "target") -> dict:
    """The attributes of a tree with two comparisons; weights [3] or [3, classes] of its leaves 3, 2 and 4."""
    weights = np.asarray(weights, np.float64).reshape(3, -1)
    count = weights.shape[1]
    return {
        "nodes_treeids": [index] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_featureids": [index % 3, (index + 1) % 3, 0, 0, 0],
        "nodes_values": [threshold, -threshold, 0.0, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 2, 0, 0, 0],
        "nodes_falsenodeids": [4, 3, 0, 0, 0],
        f"{kind}_treeids": [index] * (3 * count),
        f"{kind}_nodeids": [n for n in (2, 3, 4) for _ in range(count)],
        f"{kind}_ids": list(range(count)) * 3,
        f"{kind}_weights": weights.reshape(-1).tolist(),
    }


def joined(*trees: dict) -> dict:
    """Several trees in one ensemble."""
    return {name: [v for t in trees for v in t[name]] for name in trees[0]}


def model(nodes: list, constants: dict[str, Array], shape: tuple = ("N", 1), batch: str | int = "N") -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def path_lengths(index: int, threshold: float) -> list[onnx.NodeProto]:
    """A tree that gives the number of a leaf, of which the depth is looked up, and a correction by a comparison: what
    skl2onnx writes of an IsolationForest."""
    i = str(index)
    attributes = {"n_targets": 1, **tree(0, LEAVES[0], threshold)}
    attributes["nodes_featureids"] = [index % 3, (index + 1) % 3, 0, 0, 0]
    return [
        helper.make_node("Gather", ["x", "columns"], ["x" + i], axis=1),
        helper.make_node("TreeEnsembleRegressor", ["x" + i], ["leaf" + i], domain=ML, **attributes),
        helper.make_node("Cast", ["leaf" + i], ["id" + i], to=TensorProto.INT64),
        helper.make_node(
            "LabelEncoder",
            ["id" + i],
            ["depth" + i],
            domain=ML,
            keys_int64s=list(DEPTHS),
            values_floats=list(DEPTHS.values()),
        ),
        helper.make_node("Reshape", ["depth" + i, "rows"], ["rows" + i]),
        helper.make_node("Greater", ["rows" + i, "one"], ["deep" + i]),
        helper.make_node("Cast", ["deep" + i], ["more" + i], to=TensorProto.FLOAT),
        helper.make_node("Log", ["rows" + i], ["log" + i]),
        helper.make_node("Mul", ["log" + i, "more" + i], ["extra" + i]),
        helper.make_node("Add", ["rows" + i, "extra" + i], ["length" + i]),
    ]


CONSTANTS = {"columns": np.int64([0, 1, 2]), "rows": np.int64([-1, 1]), "one": np.float32([1.0])}
THRESHOLDS = (0.3, -0.4, 0.1)


def forest_of_lengths(batch: str | int = "N", last: str = "Sum") -> onnx.ModelProto:
    nodes = [n for i, t in enumerate(THRESHOLDS) for n in path_lengths(i, t)]
    nodes.append(helper.make_node(last, [f"length{i}" for i in range(3)], ["y"]))
    return model(nodes, CONSTANTS, (batch, 1), batch)


def lengths(leaf: float) -> float:
    depth = DEPTHS[int(leaf)]
    return depth + (np.log(depth) if depth > 1 else 0.0)


def plain_forest() -> onnx.ModelProto:
    """The same function as one ensemble that adds up the lengths themselves."""
    trees = []
    for i, threshold in enumerate(THRESHOLDS):
        one = tree(i, [lengths(v) for v in LEAVES[0]], threshold)
        trees.append(one)
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=1, **joined(*trees))
    return model([node], {})


@pytest.mark.parametrize("batch", ["N", 40])
def test_a_sum_of_path_lengths_is_a_forest(batch):
    """Relevance is that of the trees that hold the lengths; outputs stay the model's own, the ledger closes."""
    source = forest_of_lengths(batch)
    explained = onnxlrp.convert(source, "epsilon", ledger=True)
    found = onnxlrp.Explainer(explained)({"x": X})
    np.testing.assert_array_equal(found.outputs["y"], onnxruntime(source)({"x": X})["y"])
    wanted = onnxlrp.Explainer(onnxlrp.convert(plain_forest(), "epsilon"))({"x": X})
    np.testing.assert_allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)
    assert found.ledger is not None and found.ledger.gaps.max() < 1e-3
    assert sum("LeafFunction" in row.operator for row in explained.plan.rows()) == 1
    assert not any(n.op_type == "LeafFunction" for n in explained.to_proto().graph.node)


def with_rates(source: onnx.ModelProto) -> onnx.ModelProto:
    """Give all trees hit rates: a grid over one tree's thresholds gives other shares than one over several trees'."""
    for node in source.graph.node:
        if node.op_type.startswith("TreeEnsemble"):
            count = next(len(a.ints) for a in node.attribute if a.name == "nodes_treeids") // 5
            node.attribute.append(helper.make_attribute("nodes_hitrates", [10.0, 6.0, 2.0, 4.0, 4.0] * count))
    return source


def test_a_mean_leaves_each_tree_alone():
    """Mean is no sum: each tree is explained by itself, and the shares add up to the same."""
    found = onnxlrp.Explainer(onnxlrp.convert(with_rates(forest_of_lengths(last="Mean")), "lrp0"))({"x": X})
    wanted = onnxlrp.Explainer(onnxlrp.convert(with_rates(plain_forest()), "lrp0"))({"x": X})
    np.testing.assert_allclose(3 * found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)


VOTES = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]])


def votes(batch: str | int = "N") -> onnx.ModelProto:
    """Each tree votes for its largest class, as skl2onnx writes AdaBoost: 1 for it and −½ for the others, weighed."""
    nodes, constants = [], {"classes": np.int64([0, 1, 2]), "minus": np.float32([-0.5]), "by": np.float32([2.0])}
    for i, threshold in enumerate(THRESHOLDS[:2]):
        name = str(i)
        constants["weight" + name] = np.float32([1.5 + i])
        attributes = {"classlabels_int64s": [0, 1, 2], **tree(0, np.roll(VOTES, i, 1), threshold, "class")}
        nodes += [
            helper.make_node("TreeEnsembleClassifier", ["x"], ["label" + name, "p" + name], domain=ML, **attributes),
            helper.make_node("ArgMax", ["p" + name], ["best" + name], axis=1),
            helper.make_node("Equal", ["best" + name, "classes"], ["is" + name]),
            helper.make_node("Shape", ["p0"], ["sizes" + name]),
            helper.make_node(
                "ConstantOfShape", ["sizes" + name], ["ones" + name], value=numpy_helper.from_array(np.float32([1.0]))
            ),
            helper.make_node("Where", ["is" + name, "ones" + name, "minus"], ["vote" + name]),
            helper.make_node("Mul", ["vote" + name, "weight" + name], ["weighed" + name]),
        ]
    nodes += [helper.make_node("Sum", ["weighed0", "weighed1"], ["sum"]), helper.make_node("Div", ["sum", "by"], ["y"])]
    return model(nodes, constants, (batch, 3), batch)


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("batch", ["N", 40])
def test_votes(target, batch):
    """Relevance of a class is that of the trees that hold the votes, also where a fixed batch makes ones a constant."""
    found = onnxlrp.Explainer(onnxlrp.convert(votes(batch), "epsilon", ledger=True))({"x": X}, target=target)
    np.testing.assert_array_equal(found.outputs["y"], onnxruntime(votes())({"x": X})["y"])
    trees = [
        tree(i, np.where(np.roll(np.eye(3), i, 1) > 0, 1.0, -0.5) * (1.5 + i) / 2, threshold)
        for i, threshold in enumerate(THRESHOLDS[:2])
    ]
    for i, one in enumerate(trees):
        one["nodes_featureids"] = [0, 1, 0, 0, 0]
        one["nodes_treeids"] = [i] * 5
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=3, **joined(*trees))
    wanted = onnxlrp.Explainer(onnxlrp.convert(model([node], {}, ("N", 3)), "epsilon"))({"x": X}, target=target)
    np.testing.assert_allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)
    assert found.ledger is not None and found.ledger.gaps.max() < 1e-3


def indicators(*more: onnx.NodeProto, **constants: Array) -> onnx.ModelProto:
    """The number of a tree's leaf as a whole number, and what is made of it."""
    attributes = {"n_targets": 1, **tree(0, LEAVES[0], 0.3)}
    nodes = [
        helper.make_node("TreeEnsembleRegressor", ["x"], ["leaf"], domain=ML, **attributes),
        helper.make_node("Round", ["leaf"], ["round"]),
        helper.make_node("Cast", ["round"], ["id"], to=TensorProto.INT64),
        *more,
        helper.make_node("Cast", ["mixed"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(nodes, constants, ("N", "M"))


def test_the_newer_operator():
    """TreeEnsemble keeps its leaves in a table of their own."""
    tensors = {"nodes_modes": np.uint8([0, 0]), "nodes_splits": [0.3, -0.3], "leaf_weights": [1.0, 3.0, 4.0]}
    node = helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["leaf"],
        domain=ML,
        n_targets=1,
        tree_roots=[0],
        nodes_featureids=[0, 1],
        nodes_truenodeids=[1, 0],
        nodes_trueleafs=[0, 1],
        nodes_falsenodeids=[2, 1],
        nodes_falseleafs=[1, 1],
        leaf_targetids=[0, 0, 0],
        **{k: numpy_helper.from_array(v if k == "nodes_modes" else np.float32(v)) for k, v in tensors.items()},
    )
    nodes = [
        node,
        helper.make_node("Cast", ["leaf"], ["id"], to=TensorProto.INT64),
        helper.make_node("Mul", ["id", "id"], ["square"]),
        helper.make_node("Cast", ["square"], ["y"], to=TensorProto.FLOAT),
    ]
    source = model(nodes, {})
    source.opset_import[1].version = 5
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))({"x": X})
    attributes = {"n_targets": 1, **tree(0, np.square(LEAVES[0]), 0.3)}
    plain = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, **attributes)
    wanted = onnxlrp.Explainer(onnxlrp.convert(model([plain], {}), "epsilon"))({"x": X})
    np.testing.assert_allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)


MIXED = {
    "the batch's largest": [
        helper.make_node("ReduceMax", ["id", "rows"], ["largest"]),
        helper.make_node("Sub", ["largest", "id"], ["mixed"]),
    ],
    "a running sum": [helper.make_node("CumSum", ["id", "row"], ["mixed"])],
    "rows against rows": [
        helper.make_node("Transpose", ["id"], ["turned"], perm=[1, 0]),
        helper.make_node("Sub", ["id", "turned"], ["mixed"]),
    ],
    "one row for all": [helper.make_node("Gather", ["id", "rows"], ["mixed"], axis=0)],
    "several rows in one": [helper.make_node("Reshape", ["id", "flat"], ["mixed"])],
}


def test_whole_numbers_of_a_leaf():
    """Row by row they are a tree, whatever is done to the number of the leaf."""
    source = indicators(helper.make_node("Mul", ["id", "id"], ["mixed"]))
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))({"x": X})
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=1, **tree(0, np.square(LEAVES[0]), 0.3)
    )
    wanted = onnxlrp.Explainer(onnxlrp.convert(model([node], {}), "epsilon"))({"x": X})
    np.testing.assert_allclose(found.relevance["x"], wanted.relevance["x"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("how", MIXED)
def test_samples_that_meet_are_no_tree(how):
    """What depends on other rows is no function of a leaf: refused, as it was."""
    source = indicators(*MIXED[how], rows=np.int64([0]), row=np.int64(0), flat=np.int64([1, -1]))
    with pytest.raises(NothingToExplainError):
        onnxlrp.convert(source, "epsilon", target="weights")


def test_a_function_of_two_trees_is_no_tree():
    """The product of two trees' votes is decided by both."""
    nodes = [n for i in range(2) for n in path_lengths(i, 0.3)]
    nodes += [
        helper.make_node("Equal", ["id0", "id1"], ["same"]),
        helper.make_node("Cast", ["same"], ["flat"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["flat", "rows"], ["y"]),
    ]
    with pytest.raises(NothingToExplainError):
        onnxlrp.convert(model(nodes, CONSTANTS), "epsilon")
