"""Scatters, which write updates into data or combine them with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Reversed, custom, linear, routing

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _reduction(call: ir.Node | Call) -> str:
    attribute = call.attributes.get("reduction")
    return "none" if attribute is None else str(attribute.value)


def _picked(op: Builder, call: Call, value: ir.Value) -> ir.Value:
    """Read a value of the data's shape at the places to which the updates go."""
    if call.op_type == "ScatterND":
        return op.GatherND(value, call.operand(1))
    return op.GatherElements(value, call.operand(1), axis=int(call.attr("axis", 0)))


def _put(op: Builder, call: Call, into: ir.Value, updates: ir.Value, reduction: str = "none") -> ir.Value:
    """Emit the same scatter on other values."""
    if call.op_type == "ScatterND":
        return op.ScatterND(into, call.operand(1), updates, reduction=reduction)
    return op.ScatterElements(into, call.operand(1), updates, axis=int(call.attr("axis", 0)), reduction=reduction)


@routing(
    *("ScatterND", "ScatterElements"),
    when=lambda call: _reduction(call) in ("min", "max"),
    selection="value",
    operands=lambda call: (0, 2),
    sign="keeps",
)
@routing("ScatterND", "ScatterElements", "Scatter", operands=lambda call: (0, 2), sign="keeps")
def scatter(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values to the updates and the data. A reduction `add` shares it in proportion, `mul`
    equally; `min` and `max` give all to the winner, which among equal ones is the data, then the first update."""
    data, updates = call.operand(0), call.operand(2)
    zero = op.constant(0, r.dtype)
    if _reduction(call) == "none":
        if operand == 2:
            return _picked(op, call, r)
        return _put(op, call, r, op.full(op.shape(updates), 0, r.dtype))
    y = op.output(call)
    kept = op.Equal(data, y)
    if operand == 0:
        return op.Where(kept, r, zero)
    # The winner is the first update, in row-major order, that is the extreme where the data is not.
    places, end = op.index_grid(updates), op.size(updates)
    wins = op.And(op.Equal(updates, _picked(op, call, y)), op.Not(_picked(op, call, kept)))
    firsts = _put(op, call, op.Expand(end, op.shape(data)), op.Where(wins, places, end), "min")
    return op.Where(op.Equal(places, _picked(op, call, firsts)), _picked(op, call, r), zero)


@linear(
    *("ScatterND", "ScatterElements"),
    when=lambda call: _reduction(call) == "add",
    operands=lambda call: (0, 2),
    linearity="sum",
    sign="keeps",
)
def scatter_add(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions."""
    return r if operand == 0 else _picked(op, call, r)


@custom(
    *("ScatterND", "ScatterElements"),
    when=lambda call: _reduction(call) == "mul",
    operands=lambda call: (0, 2),
    sign="keeps",
)
def scatter_product(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared equally by all factors, as in every product of data."""
    data, updates = call.operand(0), call.operand(2)
    one, zero = op.number(1.0, data), op.number(0.0, data)
    if not gradient:
        factors = _put(op, call, op.full_like(data, 1), op.full_like(updates, 1), "add")
        share = op.Div(r, factors)
        return Reversed({0: share, 2: _picked(op, call, share)})
    # The derivative is the product of the other factors: if one factor is zero, only that one has a derivative.
    at_data, at_updates = op.Equal(data, 0.0), op.Equal(updates, 0.0)
    zeros = _put(op, call, op.cast(at_data, r.dtype), op.cast(at_updates, r.dtype), "add")  # type: ignore[arg-type]
    sure = op.Where(at_data, one, data), op.Where(at_updates, one, updates)
    rest = op.Mul(r, _put(op, call, *sure, "mul"))

    def others(factor: ir.Value, is_zero: ir.Value, product: ir.Value, count: ir.Value) -> ir.Value:
        usual = op.Where(op.Equal(count, 0.0), op.Div(product, factor), zero)
        return op.Where(is_zero, op.Where(op.Equal(count, 1.0), product, zero), usual)

    picked = (_picked(op, call, v) for v in (rest, zeros))
    return Reversed({0: others(sure[0], at_data, rest, zeros), 2: others(sure[1], at_updates, *picked)})


@routing("TensorScatter", operands=lambda call: (0, 1), sign="keeps")
def tensor_scatter(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values to the update and the cache."""
    cache, update = call.operand(0), call.operand(1)
    rank = call.rank()
    axis = int(call.attr("axis", -2)) % rank
    length = op.Squeeze(op.dim(update, axis), op.ints([0]))
    steps = op.Range(op.ints_scalar(0), length, op.ints_scalar(1))
    rows = op.Reshape(steps, op.ints([-1 if a == axis else 1 for a in range(rank)]))
    if call.input(2) is not None:
        begins = op.cast(call.operand(2), ir.DataType.INT64)
        rows = op.Add(op.Reshape(begins, op.ints([-1, *[1] * (rank - 1)])), rows)
    if call.attr("mode", "linear") == "circular":
        rows = op.Mod(rows, op.dim(cache, axis))
    where = op.Expand(rows, op.shape(update))
    if operand == 1:
        return op.GatherElements(r, where, axis=axis)
    return op.ScatterElements(r, where, op.full(op.shape(update), 0, r.dtype), axis=axis)
