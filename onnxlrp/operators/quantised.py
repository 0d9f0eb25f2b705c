"""Quantised numbers: pairs of Quantize and Dequantize pass relevance; arithmetic on them has no rule yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.operators.registry import Call, Operands, Reversed, content, custom, refused

if TYPE_CHECKING:
    from onnxlrp.builder import Builder


@custom("QuantizeLinear", elementwise=True)
def quantize(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged; the true derivative of rounding is 0."""
    return Reversed({0: op.Mul(r, 0.0) if gradient else r})


def _dequantized_sign(call: Call) -> str:
    """Numbers that count from the lowest of their type are never negative."""
    x, scale, zero = call.operand(0), content(call.input(1)), call.input(2)
    known = content(zero)
    if x.dtype is None or not x.dtype.is_integer() or scale is None or scale.min(initial=0) < 0:
        return "unknown"
    if zero is None:
        return "unknown" if x.dtype.is_signed() else "nonnegative"
    return "nonnegative" if known is not None and (known == x.dtype.min).all() else "unknown"


def _spread(op: Builder, call: Call, value: ir.Value) -> ir.Value:
    """Of a value in the scale's shape, one element for each of x, or what broadcasts to it."""
    x, axis, block = call.operand(0), int(call.attr("axis", 1)), int(call.attr("block_size", 0))
    rank, dims = call.rank(), len(op.dims(value))
    if block:
        length = op.Squeeze(op.dim(x, axis % rank), op.ints([0]))
        positions = op.Range(op.ints_scalar(0), length, op.ints_scalar(1))
        return op.Gather(value, op.Div(positions, op.ints_scalar(block)), axis=axis)
    if dims == 0 or rank < 2:
        return value
    return op.Reshape(value, op.ints([-1 if a == axis % rank else 1 for a in range(rank)]))


@custom("DequantizeLinear", elementwise=True, operands=lambda call: (0, 1), gradient_only=(1,), sign=_dequantized_sign)
def dequantize(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged."""
    if not gradient:
        return Reversed({0: r})
    # y = (x − zero)·scale for a number, an axis or blocks of x: ∂x = r·scale, ∂scale = Σ r·y/scale.
    scale, y = call.operand(1), call.outputs[0]
    spread = _spread(op, call, scale)
    slope = op.Mul(r, op.Div(y, spread))
    if call.attr("block_size", 0):
        total = op.scatter_back(slope, _spread(op, call, op.index_grid(scale)), scale)
    else:
        total = op.Reshape(op.unbroadcast(slope, spread), op.shape(scale))
    return Reversed({0: op.Mul(r, spread), 1: total})


@custom("DynamicQuantizeLinear", many=True)
def dynamic_quantize(op: Builder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """Passes unchanged; what arrives at the scale is shared by the two extremes that make it."""
    x = call.operand(0)
    nothing = op.full_like(x, 0)
    back = nothing if gradient or r[0] is None else r[0]
    if r[1] is None:
        return Reversed({0: back})
    # scale = (max(0, max x) − min(0, min x))/255.
    flat, size = op.Reshape(x, op.ints([1, -1])), op.Reshape(op.size(x), op.ints([1]))
    assert x.dtype is not None
    parts = []
    for best, outside, sign in ((op.ArgMax, op.Greater, 1.0), (op.ArgMin, op.Less, -1.0)):
        chosen = op.Reshape(op.one_hot(best(flat, axis=1, keepdims=1), size, x.dtype), op.shape(x))
        parts.append(op.Mul(op.Where(outside(x, op.number(0.0, x)), chosen, nothing), sign / 255))
    slope = op.Mul(op.Add(*parts), op.cast(r[1], x.dtype))
    if not gradient:
        # In proportion to the contributions.
        slope = op.Div(op.Mul(slope, x), op.cast(call.outputs[1], x.dtype))
    return Reversed({0: op.Add(back, slope)})


def _each(*operands: int) -> Operands:
    def present(call: Call) -> Sequence[int]:
        return operands

    return present


_LATER = "quantised arithmetic has no rule yet"
refused("QLinearConv", reason=_LATER, operands=_each(0, 3, 8))
refused("QLinearMatMul", reason=_LATER, operands=_each(0, 3))
refused("ConvInteger", "MatMulInteger", reason=_LATER, operands=_each(0, 1))
