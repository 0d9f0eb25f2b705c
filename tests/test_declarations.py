"""A file whose declarations of outputs or opsets are wrong is explained all the same, and keeps what it says."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.operators.case import onnxruntime

Array = np.ndarray
X = np.array([[0.2, 0.0, 1.0], [0.9, 0.0, 1.0]], np.float32)


def stump(shape: list | None, version: int = 2, batch: str | int = "N") -> onnx.ModelProto:
    """A tree of one comparison as CatBoost writes it: [N] is declared, the operator gives [N, 1]."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        nodes_treeids=[0] * 3,
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0] * 3,
        nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_GT", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        target_treeids=[0, 0],
        target_nodeids=[1, 2],
        target_ids=[0, 0],
        target_weights=[10.0, 20.0],
        n_targets=1,
    )
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])
    graph = helper.make_graph([node], "g", [x], [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", version)], ir_version=3)


def dense(shape: list | None, batch: str | int = "N", kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """A product whose output [N, 2] is declared otherwise."""
    weight = numpy_helper.from_array(np.float32([[1, 2], [3, -4], [5, 6]]), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", kind, shape)],
        [weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=8)


def declared(model: onnx.ModelProto) -> list[str | int] | None:
    """The shape that a model declares of its first output."""
    kind = model.graph.output[0].type.tensor_type
    return [d.dim_param or d.dim_value for d in kind.shape.dim] if kind.HasField("shape") else None


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("shape", [["N"], ["N", 1], ["N", 1, 1], [], None], ids=str)
def test_trees_declared_in_another_rank(shape, version):
    """Relevance by the rank that the operator gives; the declaration comes back. No default domain is imported."""
    source = stump(shape, version)
    explained = onnxlrp.convert(source)
    found = onnxlrp.Explainer(explained)({"x": X})
    np.testing.assert_allclose(found.relevance["x"], [[5, 0, 0], [-5, 0, 0]])
    np.testing.assert_array_equal(found.outputs["y"], onnxruntime(source)({"x": X})["y"])
    assert declared(explained.to_proto()) == shape
    assert any("declared" in note for note in explained.notes) == (shape not in (None, ["N", 1]))


@pytest.mark.parametrize(
    "options", [{"target": "weights"}, {"targets": 2}, {"target_input": "required"}, {"ledger": True}], ids=str
)
def test_options_in_another_rank(options):
    """Whatever else is asked for follows the rank that is."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(stump(["N"]), **options))
    more = {"weights": np.ones((2, 1), np.float32)} if "target" in options else {}
    found = explainer({"x": X}, **more).relevance["x"]
    np.testing.assert_allclose(found.reshape(2, -1, 3)[:, 0], [[5, 0, 0], [-5, 0, 0]])


@pytest.mark.parametrize("shape", [["N"], ["N", 1], ["N", 2, 1], [1, 2], [7, 2], []], ids=str)
def test_a_product_declared_otherwise(shape):
    """Another number of classes, of samples, or another rank."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(dense(shape), "epsilon"))
    found = explainer({"x": X}, target=1).relevance["x"]
    np.testing.assert_allclose(found, X * [2, -4, 6], rtol=1e-4)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("model", [stump, dense])
def test_a_fixed_batch(batch, model):
    """One class for all samples, one for each, the predicted ones, and more samples than one batch."""
    x = np.random.default_rng(batch).random((2 * batch, 3)).astype(np.float32)
    shape: list = [batch, 1] if model is stump else [batch, 2]
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(shape, batch=batch), "epsilon"))
    alone = onnxlrp.Explainer(onnxlrp.convert(model(["N", shape[1]]), "epsilon"))({"x": x}).relevance["x"]
    first = explainer({"x": x[:batch]})
    for target in (first.target, first.target.reshape(-1, 1)):
        same = explainer({"x": x[:batch]}, target=target).relevance["x"]
        np.testing.assert_array_equal(same, first.relevance["x"])
    assert explainer({"x": x[:batch]}, target=0).relevance["x"].shape == (batch, 3)
    mapped = np.concatenate([e.relevance["x"] for e in explainer.map({"x": x})])
    np.testing.assert_allclose(mapped, alone, rtol=1e-5)


def test_another_type_than_the_node_gives():
    """onnxruntime refuses such a source; explained, the output has its node's type, and the plan says so."""
    explained = onnxlrp.convert(dense(["N", 2], kind=TensorProto.DOUBLE), "epsilon")
    found = onnxlrp.Explainer(explained)({"x": X}, target=0)
    np.testing.assert_allclose(found.relevance["x"], X * [1, 3, 5], rtol=1e-4)
    assert any("DOUBLE" in note for note in explained.notes)
