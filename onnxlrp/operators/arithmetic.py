"""Sums, products, quotients, powers and maxima of operands that broadcast against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import activation, all_operands, linear, routing

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@linear("Add", "Sum", elementwise=True, operands=all_operands, linearity="sum", sign="keeps")
def add(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions; a constant absorbs its share."""
    return op.unbroadcast(r, call.operand(operand))


@linear("Sub", elementwise=True, operands=all_operands, linearity="sum")
def sub(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions; a constant absorbs its share."""
    back = op.unbroadcast(r, call.operand(operand))
    return back if operand == 0 else op.Neg(back)


@linear("Mean", elementwise=True, operands=all_operands, linearity="sum", sign="keeps")
def mean(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions; a constant absorbs its share."""
    return op.unbroadcast(op.Div(r, float(len(call.inputs))), call.operand(operand))


@linear("Neg", elementwise=True, linearity="scale")
def neg(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance passes unchanged."""
    return op.Neg(r)


@linear("Mul", elementwise=True, operands=all_operands, linearity="scale", sign="keeps")
def mul(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance passes unchanged if one operand is constant, else it takes the composite's rule for products of
    data."""
    return op.unbroadcast(op.Mul(r, call.operand(1 - operand)), call.operand(operand))


@linear("Div", elementwise=True, operands=all_operands, linearity="quotient", sign="keeps")
def div(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the numerator; where data divide a constant, it goes to the data in proportion to the
    derivative."""
    numerator, denominator = call.operand(0), call.operand(1)
    share = op.Div(r, denominator)
    if operand == 0:
        return op.unbroadcast(share, numerator)
    return op.unbroadcast(op.Neg(op.Mul(share, op.run(call))), denominator)


@activation("Pow", operands=all_operands)
def power(op: Builder, call: Call, operand: int) -> ir.Value:
    """Relevance passes unchanged; where data are raised to the power of data, it goes to the base."""
    base, exponent, y = call.operand(0), call.operand(1), call.outputs[0]
    if operand == 1:
        return op.Mul(y, op.Log(base))
    e = op.cast(exponent, base.dtype)  # type: ignore[arg-type]
    known = op.known(exponent)
    if known is not None and known.size == 1 and float(known.reshape(-1)[0]) == 2.0:
        return op.Mul(2.0, base)
    return op.Mul(e, op.Pow(base, op.Sub(e, op.number(1.0, base))))


def _floating(call: Call) -> list[int]:
    """Name both operands if they are floats, and none for integers, whose remainders are arithmetic on positions."""
    dtype = call.operand(0).dtype
    return [0, 1] if dtype is not None and dtype.is_floating_point() else []


@activation("Mod", operands=_floating, gradient_only=(1,))
def mod(op: Builder, call: Call, operand: int) -> ir.Value:
    """Relevance passes unchanged to the dividend."""
    # y = a − q·b with the rounded quotient q, 0 where b is infinite: ∂a is 1 and ∂b is −q.
    a, b, y = call.operand(0), call.operand(1), call.outputs[0]
    return op.full_like(y, 1) if operand == 0 else op.Round(op.Div(op.Sub(y, a), b))


@linear("Dropout", elementwise=True, linearity="scale", sign="keeps")
def dropout(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance passes unchanged; in training the gradient follows the mask that was drawn."""
    training = op.known(call.input(2)) if call.input(2) is not None else np.zeros(1, bool)
    if training is not None and not training.any():
        return r
    # Where x is 0, so is y, and neither mask nor ratio shows: the gradient is 0 there in training, else 1.
    x, y = call.operand(0), call.outputs[0]
    empty = op.Equal(x, 0.0)
    ratio = op.Div(y, op.Where(empty, op.number(1.0, x), x))
    unseen = op.Where(call.operand(2), op.number(0.0, x), op.number(1.0, x))
    return op.Mul(r, op.Where(empty, unseen, ratio))


@routing("Max", "Min", elementwise=True, selection="value", operands=all_operands, sign="keeps")
def extreme(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winner; of equal ones, to the first operand."""
    y = op.run(call)
    wins = op.Equal(call.operand(operand), y)
    for earlier in call.inputs[:operand]:
        wins = op.And(wins, op.Not(op.Equal(earlier, y)))
    return op.unbroadcast(op.Where(wins, r, op.constant(0, r.dtype)), call.operand(operand))
