"""Recognise the product of attention weights with values."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.analysis.reach import is_routing, origin

_PRODUCTS = ("MatMul", "Einsum")


def weights_operand(node: ir.Node, data: Collection[ir.Value]) -> int | None:
    """Return the index of the operand of a product of two data operands that comes from a softmax; None for all other
    nodes."""
    if node.op_type not in _PRODUCTS or sum(v in data for v in node.inputs) < 2:
        return None
    sources = [origin(v, data) for v in node.inputs]
    return next((i for i, n in enumerate(sources) if n is not None and n.op_type == "Softmax"), None)


def softmax_over_last(weights: ir.Value, data: Collection[ir.Value]) -> bool:
    """Decide whether attention weights are a softmax over their last axis, and nothing moved the axes since."""
    node = origin(weights, data, lambda node, operand: is_routing(node, operand) and node.op_type != "Transpose")
    if node is None or node.op_type != "Softmax":
        return False
    axis, shape = node.attributes.get("axis"), node.outputs[0].shape
    last = -1 if shape is None else len(shape) - 1
    return axis is None or axis.as_int() in (-1, last)
