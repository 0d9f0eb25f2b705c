"""Weights in bodies are in the file once, and both ways read them."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp


def _tensors(graph: onnx.GraphProto) -> list[bytes]:
    """The contents of every large tensor of a graph and its bodies."""
    found = [numpy_helper.to_array(t).tobytes() for t in graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            found += _tensors(attribute.g) if attribute.type == onnx.AttributeProto.GRAPH else []
            found += [numpy_helper.to_array(attribute.t).tobytes()] if attribute.HasField("t") else []
    return [content for content in found if len(content) > 8192]


def _branch(name: str, weight: np.ndarray) -> onnx.GraphProto:
    # Both branches call their weight by the same name.
    return helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], [f"{name}_y"])],
        name,
        [],
        [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, ["N", 48])],
        [numpy_helper.from_array(weight, "w")],
    )


@pytest.fixture
def weights() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.normal(size=(64, 48)).astype(np.float32) for _ in range(2)]


def _model(weights: list[np.ndarray]) -> onnx.ModelProto:
    one, other = (_branch(name, weight) for name, weight in zip(("one", "other"), weights, strict=True))
    graph = helper.make_graph(
        [helper.make_node("If", ["which"], ["y"], then_branch=one, else_branch=other)],
        "choice",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 64]),
            helper.make_tensor_value_info("which", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 48])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("composite", ["epsilon", "gradient_x_input"])
def test_each_weight_is_there_once_and_read_both_ways(weights, composite):
    explained = onnxlrp.convert(_model(weights), composite=composite)
    assert sorted(_tensors(explained.to_proto().graph)) == sorted(w.tobytes() for w in weights)
    explainer = onnxlrp.Explainer(explained, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    for which, weight in zip((True, False), weights, strict=True):
        found = explainer({"x": x, "which": np.array(which)}, target=5)
        np.testing.assert_allclose(found.outputs["y"], x @ weight, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(found.relevance["x"], x * weight[:, 5], rtol=1e-3, atol=1e-4)
