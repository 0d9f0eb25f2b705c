"""Running sums and products along an axis, and Range, a vector of evenly spaced numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Operands, Reversed, custom, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


def _of_floats(*operands: int) -> Operands:
    """Let these operands carry relevance if they are floats; running sums of integers are positions."""

    def carrying(call: Call) -> Sequence[int]:
        dtype = call.operand(0).dtype
        return operands if dtype is None or dtype.is_floating_point() else ()

    return carrying


def _running(op: Builder, call: Call, value: ir.Value, back: bool = False) -> ir.Value:
    """Emit a running sum with the call's axis and attributes; with `back`, its transpose, which runs the other way."""
    reverse = bool(call.attr("reverse", 0)) != back
    return op.CumSum(value, call.operand(1), exclusive=int(call.attr("exclusive", 0)), reverse=int(reverse))


@linear("CumSum", linearity="sum", sign="keeps", operands=_of_floats(0))
def cumulative_sum(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    return _running(op, call, r, back=True)


@custom("CumProd", sign="keeps", operands=_of_floats(0))
def cumulative_product(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared equally by all factors, as in every product of data."""
    x, y = call.operand(0), call.outputs[0]
    zero, one = op.number(0.0, x), op.number(1.0, x)
    if not gradient:
        count = _running(op, call, op.full_like(x, 1))
        # An exclusive running product starts with the empty product, which is a constant.
        empty = op.Equal(count, 0.0)
        share = op.Where(empty, zero, op.Div(r, op.Max(count, one)))
        return Reversed({0: _running(op, call, share, back=True)}, bias=op.Where(empty, r, zero))
    # ∂x_k = Σ r_i·y_i/x_k over the products y_i that contain x_k. Where x_k is 0, y_i/x_k is the product of the other
    # factors if none of them is 0 too: its magnitude by logarithms, its sign by parity.
    is_zero = op.Equal(x, 0.0)
    others = op.Where(is_zero, one, x)
    usual = op.Div(_running(op, call, op.Mul(r, y), back=True), others)
    zeros = op.cast(is_zero, x.dtype)  # type: ignore[arg-type]
    negative = _running(op, call, op.cast(op.Less(others, 0.0), x.dtype))  # type: ignore[arg-type]
    odd = op.Sub(negative, op.Mul(2.0, op.Floor(op.Mul(0.5, negative))))
    magnitude = op.Exp(_running(op, call, op.Log(op.Abs(others))))
    product = op.Mul(magnitude, op.Sub(1.0, op.Mul(2.0, odd)))
    one_zero = op.Equal(_running(op, call, zeros), 1.0)
    around = _running(op, call, op.Where(one_zero, op.Mul(r, product), zero), back=True)
    return Reversed({0: op.Where(is_zero, around, usual)})


@custom("Range", operands=_of_floats(0, 2))
def arange(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the contributions of start and step; a Range of integers is built from
    sizes."""
    # y_i = start + i·step; the number of elements has no derivative.
    start, step, y = call.operand(0), call.operand(2), call.outputs[0]
    assert r.dtype is not None
    steps = op.cast(op.index_grid(y), r.dtype)
    share = r if gradient else op.Div(r, op.stabilise(y))
    to_start, to_step = op.ReduceSum(share, keepdims=0), op.ReduceSum(op.Mul(share, steps), keepdims=0)
    if gradient:
        return Reversed({0: to_start, 2: to_step})
    amounts = {0: op.Mul(start, to_start), 2: op.Mul(step, to_step)}
    return Reversed(amounts, epsilon=op.Sub(r, op.Mul(share, y)))
