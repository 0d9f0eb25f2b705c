"""Relevance through an activation with f(0) ≠ 0: the operand contributes nothing to f(0), which keeps its share."""

from __future__ import annotations

import dataclasses
import functools

import onnx_ir as ir

from onnxlrp.analysis.activations import nodes_between, rounds
from onnxlrp.analysis.elementwise_functions import Function
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, find
from onnxlrp.plan import Step

_NEAR = 1e-2
_ALIKE = 2e-2
"""If |z| < _NEAR and f(z) differs from f(0) by at most this share of f(0), the derivative at z/2 stands in for the
quotient, which would lose its digits in float32. Functions that change faster keep the quotient: the derivative of
log(z + 1e-6) at z/2 is far from it."""


def offset(walk: Walk, step: Step) -> None:
    """Pass on `c·(f(z) − f(0))/z` as the factor of z, and keep `c·f(0)`.

    The factor is bounded wherever the derivative is, and it has the sign of the function's slope where it is monotone.
    """
    op, function = walk.op, _function(step)
    z, y = walk.known(function.argument), walk.known(step.outputs[0])
    if z.shape != y.shape:
        # Constants inside the function broadcast its argument.
        z = shaped(op.Expand(z, op.shape(y)), y)
    at_zero = _at_zero(walk, step)
    change = op.Sub(y, at_zero)
    alike = op.LessOrEqual(op.Abs(change), op.Mul(op.Abs(at_zero), _ALIKE))
    near = op.And(op.Less(op.Abs(z), _NEAR), alike)
    secant = op.Div(change, op.Where(near, op.number(1.0, z), z))
    share = op.Where(near, _slope(walk, step, op.Mul(z, 0.5)), secant)
    c = _factor(walk, step)
    _send(walk, step, op.Mul(c, share))
    if walk.ledger is not None:
        # Nothing is passed on to a masked −∞: all of the output is kept there.
        masked = function.argument in walk.facts.maybe_infinite
        kept = op.Where(op.Equal(share, op.number(0.0, share)), y, at_zero) if masked else at_zero
        walk.ledger.bias(step, op.Mul(c, kept))


def slope(walk: Walk, step: Step) -> None:
    """Pass on `c·f′(z)` as the factor of z, for a function without a value at 0: 1/z gives −R, log z gives c."""
    op, function = walk.op, _function(step)
    z, c = walk.known(function.argument), _factor(walk, step)
    passed = walk.where_known(function.argument, op.Mul(c, _slope(walk, step, z)))
    _send(walk, step, passed)
    if walk.ledger is not None:
        walk.ledger.bias(step, op.Sub(op.Mul(c, walk.known(step.outputs[0])), op.Mul(passed, z)))


def _function(step: Step) -> Function:
    assert step.function is not None
    return step.function


def _send(walk: Walk, step: Step, factor: ir.Value) -> None:
    argument = _function(step).argument
    if walk.wants(argument):
        walk.send(argument, walk.op.unbroadcast(factor, argument), argument)


def _factor(walk: Walk, step: Step) -> ir.Value:
    """The factor c with R = c·y; an amount is divided by y, and is lost where y is 0."""
    op, y = walk.op, step.outputs[0]
    if walk.carrier(y) is y:
        return walk.factor(y)
    value, amount = walk.known(y), walk.amount(y)
    c = op.Div(amount, op.stabilise(value, 0.0))
    if walk.ledger is not None:
        walk.ledger.epsilon(step, op.Sub(amount, op.Mul(c, value)))
    return c


def _at_zero(walk: Walk, step: Step) -> ir.Value:
    """The function at 0: a constant where it is known, else the function's own nodes on zeros."""
    function = _function(step)
    if function.at_zero is not None:
        return walk.op.constant(function.at_zero, walk.dtype)
    return _run(walk, step, walk.op.full_like(walk.read(function.argument), 0))[0]


def _slope(walk: Walk, step: Step, z: ir.Value) -> ir.Value:
    """The derivative of the function at z."""
    return _run(walk, step, z)[1]


def _run(walk: Walk, step: Step, z: ir.Value) -> tuple[ir.Value, ir.Value]:
    """The function at z and its derivative there, node by node."""
    argument = _function(step).argument
    values = {argument: z}
    slopes = {argument: walk.op.full_like(z, 1)}
    for node in nodes_between(step.node, argument, walk.facts):
        out = node.outputs[0]
        moved = {i: v for i, v in enumerate(node.inputs) if v in values and v is not None}
        if rounds(node):
            (rounded,) = moved.values()
            values[out], slopes[out] = values[rounded], slopes[rounded]
            continue
        call = walk.cast(Call.of(node)).rebind({i: values[v] for i, v in moved.items()})
        values[out] = walk.op.run(call)
        call = dataclasses.replace(call, outputs=(values[out],))
        parts = [_part(walk, call, i, slopes[v]) for i, v in moved.items()]
        slopes[out] = functools.reduce(walk.op.Add, parts)
    return values[step.outputs[0]], slopes[step.outputs[0]]


def _part(walk: Walk, call: Call, operand: int, slope_of_operand: ir.Value) -> ir.Value:
    """The derivative of a node's output through one of its operands."""
    entry = find(call)
    assert entry is not None
    if entry.kind is Kind.ELEMENTWISE:
        return walk.op.Mul(slope_of_operand, entry.function(walk.op, call, operand))
    return entry.function(walk.op, call, operand, slope_of_operand)
