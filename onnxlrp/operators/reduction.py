"""Reductions over axes: sums and means are linear, norms are sums of powers, and an extreme gives all to the winner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import quotients
from onnxlrp.operators.changes import Multipliers, log_sum_exp_change, over_change
from onnxlrp.operators.registry import Reversed, custom, linear, routing

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


def axes(op: Builder, call: Call) -> list[int] | None:
    """Return the reduced axes, each once, counted from the first; None where only a run of the model computes them."""
    given = call.attr("axes")
    if given is None and call.input(1) is not None:
        given = op.known(call.input(1))
        if given is None:
            return None
    rank = call.rank()
    if given is None or len(given) == 0:
        return [] if call.attr("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({int(a) % rank for a in given})


def _over(op: Builder, call: Call, reduce: str, parts: ir.Value) -> ir.Value:
    """Emit a reduction of `parts` over the axes of `call`, which become 1; without axes nothing is reduced."""
    which = axes(op, call)
    if which is None:
        noop = int(call.attr("noop_with_empty_axes", 0))
        return getattr(op, reduce)(parts, call.operand(1), keepdims=1, noop_with_empty_axes=noop)
    return getattr(op, reduce)(parts, op.ints(which), keepdims=1, noop_with_empty_axes=1)


def sums(op: Builder, call: Call, parts: ir.Value) -> ir.Value:
    """Sum `parts` over the axes of `call`, which become 1; without axes nothing is summed."""
    return _over(op, call, "ReduceSum", parts)


def keep(op: Builder, call: Call, reduced: ir.Value) -> ir.Value:
    """Restore the reduced axes of a value as axes of size 1."""
    which = axes(op, call)
    if call.attr("keepdims", 1) or which == []:
        return reduced
    if which is None:
        # The axes are not known before the model runs: a reduction that keeps them gives the shape.
        return op.Reshape(reduced, op.Shape(sums(op, call, call.operand(0))))
    return op.Unsqueeze(reduced, op.ints(which))


@linear("ReduceSum", linearity="sum", sign="keeps")
def reduce_sum(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    return op.Expand(keep(op, call, r), op.shape(call.operand(0)))


@linear("ReduceMean", linearity="sum", sign="keeps")
def reduce_mean(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    x = call.operand(0)
    assert r.dtype is not None
    count = op.cast(op.elements_for_each(x, r), r.dtype)
    return op.Expand(op.Div(keep(op, call, r), count), op.shape(x))


def _proportional(op: ReverseBuilder, call: Call, r: ir.Value, parts: ir.Value) -> Reversed:
    """Share relevance in proportion to `parts`; the stabilised denominator is their sum over the axes."""
    total = sums(op, call, parts)
    wide, divisor = keep(op, call, r), op.stabilise(total)
    share = op.Div(wide, divisor)
    return Reversed({0: op.Mul(parts, share)}, epsilon=op.Sub(wide, op.Mul(share, total)))


def _times(op: Builder, call: Call, r: ir.Value, slope: ir.Value) -> Reversed:
    return Reversed({0: op.Mul(keep(op, call, r), slope)})


def _multiplier(change: Callable[..., ir.Value]) -> Callable[..., Multipliers]:
    """Make the function for a reduction's multiplier from one that takes calls whose outputs keep the axes."""

    def multiplier(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
        points = (dataclasses.replace(c, outputs=(keep(op, c, c.outputs[0]),)) for c in (call, before))
        return {0: op.Mul(keep(op, call, g), change(op, *points))}

    return multiplier


def _of_magnitudes(op: Builder, call: Call, before: Call) -> ir.Value:
    x, x0 = call.operand(0), before.operand(0)
    return over_change(op, op.Sub(op.Abs(x), op.Abs(x0)), op.Sub(x, x0), op.Sign(x))


def _of_squares(op: Builder, call: Call, before: Call) -> ir.Value:
    return op.Add(call.operand(0), before.operand(0))


def _of_length(op: Builder, call: Call, before: Call) -> ir.Value:
    """`Δ‖x‖ = Δ(x·x)/(‖x‖ + ‖x₀‖)`."""
    total = op.Add(call.outputs[0], before.outputs[0])
    slope = op.Div(op.Add(call.operand(0), before.operand(0)), total)
    return op.Where(op.Equal(total, 0.0), op.number(0.0, total), slope)


def _of_log_sum(op: Builder, call: Call, before: Call) -> ir.Value:
    slope = quotients.log_quotient(op, *(sums(op, c, c.operand(0)) for c in (call, before)))
    return op.Expand(slope, op.shape(call.operand(0)))


def _of_log_sum_exp(op: Builder, call: Call, before: Call) -> ir.Value:
    which = axes(op, call)
    return log_sum_exp_change(op, call, before, call.operand(1) if which is None else op.ints(which))


@custom("ReduceL1", sign="nonnegative", multiplier=_multiplier(_of_magnitudes))
def reduce_l1(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the magnitudes."""
    x = call.operand(0)
    return _times(op, call, r, op.Sign(x)) if gradient else _proportional(op, call, r, op.Abs(x))


@custom("ReduceSumSquare", sign="nonnegative", multiplier=_multiplier(_of_squares))
def reduce_sum_square(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the squares."""
    x = call.operand(0)
    return _times(op, call, r, op.Mul(2.0, x)) if gradient else _proportional(op, call, r, op.Mul(x, x))


@custom("ReduceL2", sign="nonnegative", multiplier=_multiplier(_of_length))
def reduce_l2(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the squares."""
    x = call.operand(0)
    if gradient:
        return _times(op, call, r, op.Div(x, keep(op, call, call.outputs[0])))
    return _proportional(op, call, r, op.Mul(x, x))


def _of_logarithm(op: Builder, call: Call, c: ir.Value, slope: ir.Value) -> Reversed:
    """Give the operand of a logarithm the relevance `c·f′(x)·x`, and the bias the rest.

    A logarithm has no value at 0 to subtract. Relevance as an amount would change its sign where the logarithm is
    negative, so it is a factor c.
    """
    wide = keep(op, call, c)
    # A masked score of −∞ has a share of 0, not of 0·∞.
    shares = op.Where(op.Equal(slope, 0.0), op.number(0.0, slope), op.Mul(slope, call.operand(0)))
    rest = op.Sub(keep(op, call, op.output(call)), sums(op, call, shares))
    return Reversed(factors={0: op.Mul(wide, slope)}, bias=op.Mul(wide, rest))


@custom("ReduceLogSum", receives="factor", multiplier=_multiplier(_of_log_sum))
def reduce_log_sum(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the derivative, as for the logarithm of one value."""
    x = call.operand(0)
    slope = op.Div(op.full_like(x, 1.0), sums(op, call, x))
    return _times(op, call, c, slope) if gradient else _of_logarithm(op, call, c, slope)


@custom("ReduceLogSumExp", receives="factor", multiplier=_multiplier(_of_log_sum_exp))
def reduce_log_sum_exp(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared in proportion to the derivative, which is the softmax; the entropy goes to the bias."""
    slope = op.Exp(op.Sub(call.operand(0), keep(op, call, op.output(call))))
    return _times(op, call, c, slope) if gradient else _of_logarithm(op, call, c, slope)


@custom("ReduceProd")
def reduce_prod(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared equally by all factors, as in every product of data."""
    x = call.operand(0)
    assert r.dtype is not None
    if not gradient:
        count = op.cast(op.elements_for_each(x, r), r.dtype)
        return Reversed({0: op.Expand(op.Div(keep(op, call, r), count), op.shape(x))})
    # The derivative is the product of the other factors: if one factor is zero, only that one has a derivative.
    zero = op.Equal(x, 0.0)
    zeros = sums(op, call, op.cast(zero, r.dtype))
    rest = _over(op, call, "ReduceProd", op.Where(zero, op.number(1.0, x), x))
    none = op.Where(op.Equal(zeros, 0.0), op.Div(rest, op.Where(zero, op.number(1.0, x), x)), op.number(0.0, x))
    one = op.And(op.Equal(zeros, 1.0), zero)
    return _times(op, call, r, op.Where(one, rest, none))


@routing("ReduceMax", "ReduceMin", selection="window", sign="keeps")
def extreme(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winner; of equal ones, to the first."""
    x, which = call.operand(0), axes(op, call)
    assert r.dtype is not None
    if 0 in op.dims(x):
        assert r.dtype is not None
        return op.cast(x, r.dtype)  # No elements, and no relevance.
    if which is None:
        return _first_of_the_best(op, call, r)
    if not which:
        return r
    rank = call.rank()
    others = [a for a in range(rank) if a not in which]
    perm = others + which
    turned = op.Transpose(x, perm=perm)
    # Flatten keeps sizes that a Reshape to −1 cannot infer in an empty batch.
    flat = op.Flatten(turned, axis=len(others))
    best = op.ArgMax if call.op_type == "ReduceMax" else op.ArgMin
    winner = best(flat, axis=-1, keepdims=1)
    onehot = op.Reshape(op.one_hot(winner, op.dim(flat, 1), r.dtype), op.shape(turned))
    back = op.Transpose(onehot, perm=[perm.index(a) for a in range(rank)])
    return op.Mul(keep(op, call, r), back)


def _first_of_the_best(op: Builder, call: Call, r: ir.Value) -> ir.Value:
    """Give relevance to the first extreme element, in row-major order, over axes that are not known before the run."""
    x = call.operand(0)
    count = op.Range(op.ints_scalar(0), op.size(x), op.ints_scalar(1))
    # With allowzero a size of 0 means 0 elements, and nothing is reduced.
    places = op.Reshape(count, op.shape(x), allowzero=1)
    reached = op.Where(op.Equal(x, keep(op, call, op.output(call))), places, op.size(x))
    first = op.Equal(places, _over(op, call, "ReduceMin", reached))
    assert r.dtype is not None
    return op.Where(first, keep(op, call, r), op.constant(0, r.dtype))
