"""A deep transformer in plain nodes, as exporters write it: norms, attention and GELU spelled out."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class _Nodes:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(0)

    def __call__(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"/{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name + "_out"], name, **attributes))
        return name + "_out"

    def constant(self, value: Any) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self._rng.normal(size=shape, scale=0.3).astype(np.float32))

    def dense(self, x: str, rows: int, columns: int) -> str:
        return self("Add", self("MatMul", x, self.weight(rows, columns)), self.weight(columns))

    def norm(self, x: str, width: int) -> str:
        axes = self.constant(np.array([-1]))
        centred = self("Sub", x, self("ReduceMean", x, axes))
        variance = self("ReduceMean", self("Pow", centred, self.constant(np.float32(2))), axes)
        deviation = self("Sqrt", self("Add", variance, self.constant(np.float32(1e-5))))
        return self("Add", self("Mul", self("Div", centred, deviation), self.weight(width)), self.weight(width))

    def attention(self, x: str, width: int, heads: int) -> str:
        split = self.constant(np.array([0, 0, heads, width // heads]))
        turns = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        q, k, v = (self("Transpose", self("Reshape", self.dense(x, width, width), split), perm=turn) for turn in turns)
        scores = self("Mul", self("MatMul", q, k), self.constant(np.float32((width // heads) ** -0.5)))
        mixed = self("Transpose", self("MatMul", self("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        return self.dense(self("Reshape", mixed, self.constant(np.array([0, 0, width]))), width, width)

    def gelu(self, x: str) -> str:
        half, one, root = (self.constant(np.float32(number)) for number in (0.5, 1, 2**0.5))
        return self("Mul", self("Mul", x, self("Add", self("Erf", self("Div", x, root)), one)), half)


def transformer(blocks: int, width: int = 8, heads: int = 2) -> onnx.ModelProto:
    """49 nodes a block; x [N, T, width] -> y [N, 5]."""
    op = _Nodes()
    x = "x"
    for _ in range(blocks):
        x = op("Add", x, op.attention(op.norm(x, width), width, heads))
        hidden = op.gelu(op.dense(op.norm(x, width), width, 2 * width))
        x = op("Add", x, op.dense(hidden, 2 * width, width))
    y = op.dense(op("ReduceMean", x, op.constant(np.array([1])), keepdims=0), width, 5)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", width])]
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", 5])]
    graph = helper.make_graph(op.nodes, "deep", inputs, outputs, op.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
