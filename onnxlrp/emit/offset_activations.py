"""Relevance through an activation with f(0) ≠ 0: the operand contributes nothing to f(0), which keeps its share."""

from __future__ import annotations

import dataclasses
import functools

import onnx_ir as ir

from onnxlrp.analysis.activations import nodes_between, rounds
from onnxlrp.emit.backward import Absorbed, Arrived, Backward, factor_of, lost_by, only
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Factor
from onnxlrp.graph.call import Call, shaped
from onnxlrp.operators.registry import Kind, find
from onnxlrp.plan import Step

_NEAR = 1e-2
_ALIKE = 2e-2
"""If |z| < _NEAR and f(z) differs from f(0) by at most this share of f(0), the derivative at z/2 stands in for the
quotient, which would lose its digits in float32. Functions that change faster keep the quotient: the derivative of
log(z + 1e-6) at z/2 is far from it."""


def offset(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Pass on `c·(f(z) − f(0))/z` as the factor of z, and keep `c·f(0)`.

    The factor is bounded wherever the derivative is, and it has the sign of the function's slope where it is monotone.
    """
    op, function, r = context.op, step.function, only(arrived)
    assert function is not None
    argument = function.argument
    z, y = context.known(argument), context.known(step.outputs[0])
    if z.shape != y.shape:
        # Constants inside the function broadcast its argument.
        z = shaped(op.Expand(z, op.shape(y)), y)
    if function.at_zero is None:
        at_zero = _run(context, step, op.full_like(context.read(argument), 0))[0]
    else:
        at_zero = op.constant(function.at_zero, context.dtype)
    change = op.Sub(y, at_zero)
    alike = op.LessOrEqual(op.Abs(change), op.Mul(op.Abs(at_zero), _ALIKE))
    near = op.And(op.Less(op.Abs(z), _NEAR), alike)
    secant = op.Div(change, op.Where(near, op.number(1.0, z), z))
    share = op.Where(near, _run(context, step, op.Mul(z, 0.5))[1], secant)
    c = factor_of(context, r, 0.0)

    def absorbed() -> Absorbed:
        # Nothing is passed on to a masked −∞: all of the output is kept there.
        masked = argument in context.facts.maybe_infinite
        kept = op.Where(op.Equal(share, op.number(0.0, share)), y, at_zero) if masked else at_zero
        return lost_by(context, r, c) + Absorbed(bias=[op.Mul(c, kept)])

    return Backward([Factor(argument, op.unbroadcast(op.Mul(c, share), argument), argument)], absorbed)


def slope(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Pass on `c·f′(z)` as the factor of z, for a function without a value at 0: 1/z gives −R, log z gives c."""
    op, (argument,), y, r = context.op, step.operands.values(), step.outputs[0], only(arrived)
    z, c = context.known(argument), factor_of(context, r, 0.0)
    # The derivative may be infinite, or none, where another function's value is chosen and no relevance arrives.
    nothing = op.Equal(c, op.number(0.0, c))
    passed = op.Where(nothing, c, op.Mul(c, _run(context, step, z)[1]))
    passed = context.where_known(argument, context.where_known(y, passed))

    def absorbed() -> Absorbed:
        return lost_by(context, r, c) + Absorbed(bias=[op.Sub(op.Mul(c, context.known(y)), op.Mul(passed, z))])

    return Backward([Factor(argument, op.unbroadcast(passed, argument), argument)], absorbed)


def _run(context: Context, step: Step, z: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The function at z and its derivative there, node by node."""
    (argument,) = step.operands.values()
    values, slopes = {argument: z}, {argument: context.op.full_like(z, 1)}
    for node in nodes_between(step.node, argument, context.facts):
        out = node.outputs[0]
        moved = {i: v for i, v in enumerate(node.inputs) if v in values and v is not None}
        if rounds(node):
            (rounded,) = moved.values()
            values[out], slopes[out] = values[rounded], slopes[rounded]
            continue
        call = context.cast(Call.of(node)).rebind({i: values[v] for i, v in moved.items()})
        values[out] = context.op.run(call)
        call = dataclasses.replace(call, outputs=(values[out],))
        parts = [_part(context, call, i, slopes[v]) for i, v in moved.items()]
        slopes[out] = functools.reduce(context.op.Add, parts)
    return values[step.outputs[0]], slopes[step.outputs[0]]


def _part(context: Context, call: Call, operand: int, slope_of_operand: ir.Value) -> ir.Value:
    """The derivative of a node's output through one of its operands."""
    entry = find(call)
    assert entry is not None
    if entry.kind is Kind.ELEMENTWISE:
        return context.op.Mul(slope_of_operand, entry.function(context.op, call, operand))
    return entry.function(context.op, call, operand, slope_of_operand)
