"""Bounds of the model's input, carried to a layer through what stands between: the low and high of the z-box rule."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.reach import relevance_operands
from onnxlrp.emit.walk import Walk
from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, find
from onnxlrp.rules import Rule


def bounds(walk: Walk, value: ir.Value, rule: Rule) -> tuple[ir.Value, ir.Value]:
    """The lowest and highest that `value` can be, one row of a batch, by running the operators before it on the bounds.

    A negative scale swaps the two.
    """
    op = walk.op
    node = value.producer()
    if value.is_graph_input():
        return _of_input(walk, value, rule.low), _of_input(walk, value, rule.high)  # type: ignore[attr-defined]
    entry = None if node is None else find(node)
    if node is None or entry is None or value not in walk.facts.data:
        return walk.read(value), walk.read(value)
    call = Call.of(node)
    if node.op_type == "Cast":
        return bounds(walk, call.operand(0), rule)
    low, high = {}, {}
    for index in relevance_operands(node, walk.facts.data):
        low[index], high[index] = bounds(walk, call.operand(index), rule)
    for index, other in enumerate(call.inputs):
        if index not in low and other is not None and other.dtype is not None and other.dtype.is_floating_point():
            low[index] = high[index] = walk.read(other) if entry.elementwise or entry.scales else other
    at_low, at_high = op.run(call.rebind(low)), op.run(call.rebind(high))
    if entry.kind is Kind.ROUTING:
        return at_low, at_high
    return op.Min(at_low, at_high), op.Max(at_low, at_high)


def _of_input(walk: Walk, value: ir.Value, bound: object) -> ir.Value:
    """A bound of a graph input, in the shape of one row of it."""
    op = walk.op
    array = np.asarray(bound, np.float64)
    dims = op.dims(value)
    if array.ndim == 1 and array.size > 1 and len(dims) > 1:
        axis = 1 if dims[1] in (array.size, None) else len(dims) - 1
        array = array.reshape([-1 if a == axis else 1 for a in range(len(dims))])
    fits = array.ndim <= len(dims) and all(
        n == 1 or d in (n, None) for n, d in zip(array.shape[::-1], dims[::-1], strict=False)
    )
    if not fits:
        raise InputError(f"bounds of shape {array.shape} do not fit the input {value.name!r} of shape {dims}")
    constant = op.constant(array, walk.dtype)
    if len(dims) < 2:
        return op.Expand(constant, op.shape(value))
    rows = op.ints([array.shape[0]]) if array.ndim == len(dims) else op.ints([1])
    return op.Expand(constant, op.Concat(rows, op.shape(value, 1), axis=0))
