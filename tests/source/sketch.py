"""Small models written as calls: `g.Mul(5.0, g.Sigmoid(z))` adds the nodes and gives the name of the result."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray
Write = Callable[["Sketch", str], str]


class Sketch:
    """A graph that grows with every call of an operator's name.

    Floats and arrays of floats become constants of the model's own type, arrays of integers stay integers.
    """

    def __init__(self, floating: type = np.float64) -> None:
        self.floating = np.dtype(floating)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __getattr__(self, operator: str) -> Any:
        if not operator[0].isupper():
            raise AttributeError(operator)
        return functools.partial(self.node, operator)

    def node(self, operator: str, *operands: Any, outputs: int = 1, name: str = "", **attributes: Any) -> Any:
        """Add a node; its result's name, or a list of names where it has several."""
        names = [v if isinstance(v, str) else self.constant(v) for v in operands]
        results = [f"{operator.lower()}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(operator, names, results, name=name or results[0], **attributes))
        return results[0] if outputs == 1 else results

    def constant(self, value: Any) -> str:
        """Add an initializer."""
        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(self.floating)
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def model(
        self,
        output: str,
        classes: int | str | None,
        width: int = 8,
        opset: int = 21,
        shape: Sequence[int | str] | None = None,
    ) -> onnx.ModelProto:
        """The graph between `x`, [N, width] or of the given shape, and one output `y`, [N, classes]."""
        kind = helper.np_dtype_to_tensor_dtype(self.floating)
        self.nodes.append(helper.make_node("Identity", [output], ["y"], name="answer"))
        graph = helper.make_graph(
            self.nodes,
            "sketch",
            [helper.make_tensor_value_info("x", kind, shape or ["N", width])],
            [helper.make_tensor_value_info("y", kind, ["N", classes])],
            self.constants,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
