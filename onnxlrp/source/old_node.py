"""Hold a node of an older opset while it is rewritten for opset 21."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError


class Old:
    """A node of an older opset, with methods that add nodes upstream and downstream of it."""

    def __init__(self, node: ir.Node, version: int) -> None:
        assert isinstance(node.graph, ir.Graph)
        self.node, self.graph, self.version = node, node.graph, version
        self._count = 0

    def take(self, name: str, default: Any = None) -> Any:
        """Take an attribute off the node and return its value."""
        attribute = self.node.attributes.pop(name, None)
        return default if attribute is None else attribute.value

    def set(self, name: str, value: Any) -> None:
        """Set an attribute, whether the node has it or not."""
        self.node.attributes[name] = ir.convenience.convert_attribute(name, value)

    def operand(self, index: int) -> ir.Value:
        """Return an operand that the operator needs; raises InvalidModelError if it is left out."""
        value = self.optional(index)
        if value is None:
            node = self.node
            raise InvalidModelError(f"{node.op_type} node {node.name!r} (opset {self.version}) lacks operand {index}")
        return value

    def optional(self, index: int) -> ir.Value | None:
        """Return an operand; None if it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def put(self, index: int, value: ir.Value | None) -> None:
        """Set an operand to a value; operands with a lower index that are left out stay empty."""
        if len(self.node.inputs) <= index:
            self.node.resize_inputs(index + 1)
        self.node.replace_input_with(index, value)

    def constant(self, array: Any) -> ir.Value:
        """Add a constant upstream of the node."""
        return self.upstream("Constant", value=ir.Tensor(np.asarray(array)))

    def ints(self, values: Sequence[int]) -> ir.Value:
        """Add a constant vector of int64."""
        return self.constant(np.asarray(values, np.int64).reshape(-1))

    def number(self, number: float, like: ir.Value) -> ir.Value:
        """Add a constant scalar in the type of another value."""
        if like.dtype is None:
            return self.upstream("CastLike", self.constant(np.float32(number)), like)
        with np.errstate(over="ignore"):  # The largest float32 is infinite in float16.
            return self.constant(np.asarray(np.float32(number)).astype(like.dtype.numpy()))

    def upstream(self, op_type: str, *operands: ir.Value | None, **attributes: Any) -> ir.Value:
        """Put another node upstream of the node and return its output."""
        node = self._new(op_type, operands, attributes)
        self.graph.insert_before(self.node, node)
        return node.outputs[0]

    def downstream(self, output: ir.Value, op_type: str, *others: ir.Value, **attributes: Any) -> ir.Value:
        """Put another node downstream of an output; it takes over the output's readers, its name and its type."""
        node = self._new(op_type, (output, *others), attributes)
        value = node.outputs[0]
        inner, value.name, value.type = value.name, output.name, output.type
        ir.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
        node.replace_input_with(0, output)
        output.name, output.type = inner, None
        last = output.producer()
        assert last is not None
        self.graph.insert_after(last, node)
        return value

    def _new(self, op_type: str, operands: Sequence[ir.Value | None], attributes: dict[str, Any]) -> ir.Node:
        self._count += 1
        name = f"{self.node.name}_{op_type}_{self._count}"
        node = ir.Node("", op_type, operands, ir.convenience.convert_attributes(attributes), name=name)
        node.outputs[0].name = f"{name}_output"
        return node
