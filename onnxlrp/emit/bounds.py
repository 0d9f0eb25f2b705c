"""Carry bounds of the model's input to a layer, through the operators between them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.reach import relevance_operands
from onnxlrp.emit.context import Context
from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, find
from onnxlrp.rule_language import Bound


def bounds(context: Context, value: ir.Value, at_lowest: Bound, at_highest: Bound) -> tuple[ir.Value, ir.Value]:
    """Return the lowest and highest that `value` can be, one row of a batch each, given those of the model's input.

    The operators upstream are run on the bounds; one that turns signs exchanges the two.
    """
    op, node = context.op, value.producer()
    if value.is_graph_input():
        return constant_of_input(context, value, at_lowest), constant_of_input(context, value, at_highest)
    entry = None if node is None else find(node)
    if node is None or entry is None or value not in context.facts.data:
        return context.read(value), context.read(value)
    call = Call.of(node)
    if node.op_type == "Cast":
        return bounds(context, call.operand(0), at_lowest, at_highest)
    carriers = relevance_operands(node, context.facts.data)
    ends = {index: bounds(context, call.operand(index), at_lowest, at_highest) for index in carriers}
    read = call.inputs if entry.elementwise or entry.scales else ()
    others = {i: context.read(v) for i, v in enumerate(read) if i not in ends and context.is_float(v)}
    rows = [op.run(call.rebind(others | dict(zip(ends, corner, strict=True)))) for corner in _corners(call, ends)]
    if entry.kind is Kind.ROUTING:
        return rows[0], rows[1]
    return op.Min(*rows), op.Max(*rows)


def _corners(call: Call, ends: Mapping[int, tuple[ir.Value, ir.Value]]) -> Iterable[tuple[ir.Value, ...]]:
    """Yield operands at their bounds, such that the extremes are among the outputs: all lowest and all highest, unless
    the operator has several operands and falls with some of them, as a difference or a product may."""
    entry = find(call)
    assert entry is not None
    adds = entry.linearity == "sum" and entry.sign_of(call) == "keeps"
    rises = entry.kind is Kind.ROUTING or not entry.elementwise or adds
    return zip(*ends.values(), strict=True) if rises or len(ends) == 1 else itertools.product(*ends.values())


def constant_of_input(context: Context, value: ir.Value, bound: Bound, noun: str = "bounds") -> ir.Value:
    """A bound of a graph input, or another constant of its kind, in the shape of one row of it.

    Raises InputError where its shape does not fit; `noun` names it in the message.
    """
    op = context.op
    array = np.asarray(bound, np.float64)
    dims = op.dims(value)
    if array.ndim == 1 and array.size > 1 and len(dims) > 1:
        axis = 1 if dims[1] in (array.size, None) else len(dims) - 1
        array = array.reshape([-1 if a == axis else 1 for a in range(len(dims))])
    fits = array.ndim <= len(dims) and all(
        n == 1 or d in (n, None) for n, d in zip(array.shape[::-1], dims[::-1], strict=False)
    )
    if not fits:
        raise InputError(
            f"{noun} of shape {array.shape} cannot be broadcast to the input {value.name!r} of shape {dims}"
        )
    constant = op.constant(array, context.dtype)
    if len(dims) < 2:
        return op.Expand(constant, op.shape(value))
    rows = op.ints([array.shape[0]]) if array.ndim == len(dims) else op.ints([1])
    return op.Expand(constant, op.Concat(rows, op.shape(value, 1), axis=0))
