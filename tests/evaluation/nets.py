"""Small models whose true explanation is known."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def model(nodes, inputs, outputs, weights, opset: int = 21) -> onnx.ModelProto:
    """Make a model of float inputs and outputs, each a name with its shape."""
    values = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in some.items()]
              for some in (inputs, outputs)]  # fmt: skip
    tensors = [numpy_helper.from_array(np.asarray(v, np.float32 if np.asarray(v).dtype.kind == "f" else np.int64), k)
               for k, v in weights.items()]  # fmt: skip
    graph = helper.make_graph(nodes, "net", *values, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def additive(slopes: np.ndarray) -> onnx.ModelProto:
    """Make y = Σ tanh(slope · x) over the columns of a table: one score, to which each column adds its own share."""
    nodes = [
        helper.make_node("Mul", ["x", "slopes"], ["m"]),
        helper.make_node("Tanh", ["m"], ["t"]),
        helper.make_node("ReduceSum", ["t", "axes"], ["y"], keepdims=1),
    ]
    return model(nodes, {"x": ["N", len(slopes)]}, {"y": ["N", 1]}, {"slopes": slopes, "axes": np.array([1])})


def linear(weights: np.ndarray, probability: bool = False) -> onnx.ModelProto:
    """Make x · w for x [N, columns], with a softmax if the output is a probability."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z" if probability else "y"], "dense")]
    if probability:
        nodes.append(helper.make_node("Softmax", ["z"], ["y"], "softmax", axis=1))
    rows, columns = weights.shape
    return model(nodes, {"x": ["N", rows]}, {"y": ["N", columns]}, {"w": weights})


def bright_spots(side: int = 16) -> onnx.ModelProto:
    """Make the sum of max(0, x − 1/2) over a grey picture: its evidence is what is brighter than one half."""
    nodes = [
        helper.make_node("Conv", ["x", "one", "minus"], ["c"], "conv"),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("ReduceSum", ["r", "axes"], ["s"], keepdims=0),
    ]
    weights = {"one": np.ones((1, 1, 1, 1)), "minus": np.array([-0.5]), "axes": np.array([2, 3])}
    return model(nodes, {"x": ["N", 1, side, side]}, {"s": ["N", 1]}, weights)


def planted(random: np.random.Generator, count: int, side: int = 16, spot: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Draw dark noisy pictures with one bright square each, and the boxes (left, top, right, bottom) of the squares."""
    x = random.uniform(0, 0.45, (count, 1, side, side)).astype(np.float32)
    boxes = np.zeros((count, 4), int)
    for i, (left, top) in enumerate(random.integers(0, side - spot + 1, (count, 2))):
        x[i, 0, top : top + spot, left : left + spot] += 0.7
        boxes[i] = left, top, left + spot, top + spot
    return x, boxes


def convolutions(random: np.random.Generator, side: int = 12) -> onnx.ModelProto:
    """Make two convolutions with ReLU and a dense layer over three classes, with random weights."""
    nodes = [
        helper.make_node("Conv", ["x", "k", "a"], ["c"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu1"),
        helper.make_node("Conv", ["r", "l", "b"], ["d"], "conv2", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["d"], ["s"], "relu2"),
        helper.make_node("Flatten", ["s"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w"], ["y"], "dense"),
    ]
    flat = 6 * ((side + 1) // 2) ** 2
    shapes = {"k": (4, 1, 3, 3), "a": (4,), "l": (6, 4, 3, 3), "b": (6,), "w": (flat, 3)}
    weights = {name: random.normal(size=shape) * 0.4 for name, shape in shapes.items()}
    return model(nodes, {"x": ["N", 1, side, side]}, {"y": ["N", 3]}, weights)
