"""Quantised numbers: pairs of Quantize and Dequantize pass relevance; arithmetic on them has no rule yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.operators.registry import Call, Operands, Reversed, content, custom, decomposed, refused

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


@decomposed("DynamicQuantizeLinear")
def dynamic_quantize(op: Builder, call: Call) -> tuple[ir.Value, ...]:
    """Written out: a scale and a zero point from the extremes, and a rounding."""
    # As ONNX's function body does, over the operators of today; all zeros have scale 1.
    x = call.operand(0)
    low = op.Min(op.ReduceMin(x, keepdims=0), op.number(0.0, x))
    high = op.Max(op.ReduceMax(x, keepdims=0), op.number(0.0, x))
    width = op.Div(op.Sub(high, low), 255.0)
    scale = op.Where(op.Equal(width, 0.0), op.number(1.0, x), width)
    zero = op.Round(op.Clip(op.Neg(op.Div(low, scale)), op.number(0.0, x), op.number(255.0, x)))
    zero = op.Cast(zero, to=ir.DataType.UINT8)
    return op.QuantizeLinear(x, scale, zero), scale, zero


def _each(*operands: int) -> Operands:
    def present(call: Call) -> Sequence[int]:
        return operands

    return present


_LATER = "quantised arithmetic has no rule yet"
refused("QLinearConv", reason=_LATER, operands=_each(0, 3, 8))
refused("QLinearMatMul", reason=_LATER, operands=_each(0, 3))
refused("ConvInteger", "MatMulInteger", reason=_LATER, operands=_each(0, 1))
