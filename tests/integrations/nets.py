"""Networks in doubles for the adapters."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper


def model(nodes: list[onnx.NodeProto], inputs: dict, outputs: dict, weights: dict[str, np.ndarray]) -> onnx.ModelProto:
    """Build a model of opset 21 from its nodes, the shapes of its inputs and outputs, and its weights."""
    values = [
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in each.items()]
        for each in (inputs, outputs)
    ]
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "net", *values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def dense(rng: np.random.Generator) -> onnx.ModelProto:
    """Two dense layers, [N, 4] to [N, 3]."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "first"),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("MatMul", ["a", "v"], ["p"], "second"),
        helper.make_node("Add", ["p", "c"], ["y"], "shift"),
    ]
    weights = {
        "w": rng.normal(size=(4, 5)),
        "b": rng.normal(size=5),
        "v": rng.normal(size=(5, 3)),
        "c": rng.normal(size=3),
    }
    return model(nodes, {"x": ["N", 4]}, {"y": ["N", 3]}, weights)
