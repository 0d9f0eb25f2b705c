"""Multipliers of DeepLIFT: the change of an operator's output over that of its operand, between two points.

A function that is put together from sums, products and functions of one operand takes the same steps as its derivative.
Products take the means of their factors over the two points, and functions of one operand their difference quotients:
both are exact, so that multipliers times the changes of the operands add up to the change of the output.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import quotients

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

Multipliers = Mapping[int, ir.Value]
"""The multiplier of each operand, by its index."""


def mean_of(op: Builder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Compute the mean of a value at the two points."""
    return op.Mul(op.Add(a, b), 0.5)


def over_change(op: Builder, change: ir.Value, by: ir.Value, slope: ir.Value) -> ir.Value:
    """Divide a change by the change that it comes from; return the slope where that is too small."""
    least = 1e-10 if by.dtype == ir.DataType.DOUBLE else 1e-6
    # The quotient may be no number where it is not taken: another Where would cost a tenth of the way back.
    return op.Where(op.Less(op.Abs(by), least), slope, op.Div(change, by))


def over_own_change(op: Builder, change: ir.Value, by: ir.Value) -> ir.Value:
    """Divide the change of an output by the change of its input; the quotient is 0 where the input does not change.

    A tiny number in the denominator takes the place of a comparison, which would cost as much as all the rest. No
    difference of two activations is the negative of that number, so that the denominator is never 0.
    """
    return op.Div(change, op.Add(by, op.number(_TINY, by)))


_TINY = 1.2345678e-37


def softmax_change(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    """The softmax is exp(x − L), where L is the logarithm of the sum of all exp(x).

    As e/S it would have factors that overflow where the scores differ much from those at the baseline.
    """
    axis = op.ints([int(call.attr("axis", -1))])
    points, to_total = _logarithms(op, call, before, axis)
    logarithms = (op.LogSoftmax(x, axis=int(call.attr("axis", -1))) for x in points)
    g = op.Mul(g, quotients.exp_quotient(op, *logarithms))
    return {0: op.Sub(g, op.Mul(op.ReduceSum(g, axis, keepdims=1), to_total))}


def log_softmax_change(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    """The logarithm of the softmax is x − L."""
    axis = op.ints([int(call.attr("axis", -1))])
    _, to_total = _logarithms(op, call, before, axis)
    return {0: op.Sub(g, op.Mul(op.ReduceSum(g, axis, keepdims=1), to_total))}


def log_sum_exp_change(op: Builder, call: Call, before: Call, axes: ir.Value) -> ir.Value:
    """The multiplier of x in L = log Σ exp(x) along axes."""
    return _logarithms(op, call, before, axes)[1]


def _logarithms(op: Builder, call: Call, before: Call, axes: ir.Value) -> tuple[list[ir.Value], ir.Value]:
    """Return x at both points and the multiplier of x in L. It is the quotient of the logarithm times that of each
    exponential, of x less the largest of both; for −∞ stands a number whose exponential is 0 next to any other."""
    least = -6e4 if call.operand(0).dtype == ir.DataType.FLOAT16 else -1e30
    points = [op.Max(c.operand(0), op.number(least, c.operand(0))) for c in (call, before)]
    x, x0 = (op.Sub(v, op.ReduceMax(op.Max(*points), axes, keepdims=1)) for v in points)
    total, total0 = (op.ReduceSum(op.Exp(v), axes, keepdims=1) for v in (x, x0))
    own, own0 = (op.ReduceLogSumExp(v, axes, keepdims=1) for v in (x, x0))
    change = op.Sub(total, total0)
    near = op.Less(op.Abs(change), op.Mul(op.Add(total, total0), 0.25))
    # Of far points the smaller sum may be 0, but its logarithm is a number.
    slope = op.Where(near, quotients.log_quotient(op, total, total0), op.Div(op.Sub(own, own0), change))
    return points, op.Mul(slope, quotients.exp_quotient(op, x, x0))


def norm_change(
    op: Builder, points: tuple[ir.Value, ir.Value], g: ir.Value, axes: ir.Value, epsilon: float, *, centred: bool = True
) -> ir.Value:
    """The multiplier of x in `d/√(mean(d²) + ε)`, with d = x − mean(x) or d = x, for the multiplier g of the result."""
    values = [op.Sub(v, op.ReduceMean(v, axes, keepdims=1)) if centred else v for v in points]
    squares = [op.ReduceMean(op.Mul(d, d), axes, keepdims=1) for d in values]
    sigma, sigma0 = (op.Sqrt(op.Add(v, epsilon)) for v in squares)
    middle, both = mean_of(op, *values), op.Mul(sigma, sigma0)
    # The change of 1/σ over that of σ², −1/(σ·σ₀·(σ + σ₀)), times that of the mean square over the change of d.
    weighed = op.ReduceMean(op.Mul(g, middle), axes, keepdims=1)
    slope = op.Div(op.Mul(weighed, 2.0), op.Mul(both, op.Add(sigma, sigma0)))
    inverse = mean_of(op, op.Reciprocal(sigma), op.Reciprocal(sigma0))
    to_d = op.Sub(op.Mul(g, inverse), op.Mul(slope, middle))
    return op.Sub(to_d, op.ReduceMean(to_d, axes, keepdims=1)) if centred else to_d


def quotient_change(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    """a/b, the product of a and 1/b."""
    (a, b), (a0, b0) = ([c.operand(i) for i in range(2)] for c in (call, before))
    to_a = op.Mul(g, mean_of(op, op.Reciprocal(b), op.Reciprocal(b0)))
    to_b = op.Div(op.Mul(op.Neg(g), mean_of(op, a, a0)), op.Mul(b, b0))
    return {0: op.unbroadcast(to_a, a), 1: op.unbroadcast(to_b, b)}
