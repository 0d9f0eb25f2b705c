"""The division of every rule: `s = R / s(d)`, in the form that costs least."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.float16 import bounded, widest
from onnxlrp.emit.relevance import Stand
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.rules import Rule


def ratio(walk: Walk, output: ir.Value, d: ir.Value, rule: Rule, *, own: bool = False, sign: int = 0) -> ir.Value:
    """`R / s(d)` for the relevance that arrived at `output`.

    `own`: d is the output's own value z, so that a factor c needs no product: c·|z|/(|z| + ε). `sign`: +1 or −1 where
    another d is known never to be negative or positive.
    """
    return shaped(_ratio(walk, output, d, rule, own, sign), output)


def _ratio(walk: Walk, output: ir.Value, d: ir.Value, rule: Rule, own: bool, sign: int) -> ir.Value:
    op, carrier = walk.op, walk.carrier(output)
    if own:
        sign = int(output in walk.facts.nonnegative)
    if not own or carrier is None or rule.relative:
        return divide(walk, walk.amount(output), d, rule, sign)
    stand = walk.stand(output)
    if stand in (Stand.ITSELF, Stand.RECTIFIED):
        won, positive = walk.won(output), bool(sign) or stand is Stand.RECTIFIED
        if won is not None:
            return won.back(_gated(walk, won.factor, won.carrier, rule, positive))
        return _gated(walk, walk.factor(output), carrier, rule, positive)
    if stand is Stand.CUT:
        # R is 0 wherever d is not above 0.
        return divide(walk, walk.amount(output), op.Relu(d), rule, 1)
    # c·k/(d + sgn(d)·ε) as c·|k|/(|d| + ε), for k has the sign of d: to ask for a sign costs four times as much.
    size = bounded(op, op.Mul(walk.factor(output), op.Abs(walk.finite(carrier))))
    return divide(walk, size, op.Abs(d), rule, 1)


def _gated(walk: Walk, c: ir.Value, carrier: ir.Value, rule: Rule, positive: bool) -> ir.Value:
    """`c·|k|/(|k| + ε)`, 0 at k = 0; `positive`: k is never negative."""
    op, k = walk.op, walk.known(carrier)
    if rule.epsilon == 0:
        return op.Where(op.Equal(k, 0.0), op.constant(0, walk.dtype), c)
    # As c/(1 + |ε/k|): one buffer that each operation overwrites, measured 9 % faster.
    small = op.Div(rule.epsilon, k)
    return op.Div(c, op.Add(small if positive else op.Abs(small), 1.0))


def divide(walk: Walk, r: ir.Value, d: ir.Value, rule: Rule, sign: int = 0) -> ir.Value:
    """`r / s(d)`, 0 where the stabiliser is 0 and d is 0."""
    return bounded(walk.op, _quotient(walk, r, d, rule, sign))


def _quotient(walk: Walk, r: ir.Value, d: ir.Value, rule: Rule, sign: int) -> ir.Value:
    op = walk.op
    if rule.epsilon == 0 and rule.relative == 0:
        return op.Div(r, op.stabilise(d, 0.0))
    epsilon = op.least(rule.epsilon, walk.dtype)
    small: ir.Value | float = epsilon
    if rule.relative:
        rank = len(d.shape or ())
        axes = op.ints(range(1, rank)) if rank > 1 else None
        wide = op.cast(d, widest(walk.dtype))
        rms = op.cast(op.Sqrt(op.ReduceMean(op.Mul(wide, wide), axes, keepdims=1)), walk.dtype)
        small = op.Add(op.Mul(rms, rule.relative), epsilon)
    if sign:
        s = op.Add(d, small) if sign > 0 else op.Sub(d, small)
    elif isinstance(small, float):
        s = op.stabilise(d, small)
    else:
        s = op.Add(d, op.Where(op.GreaterOrEqual(d, 0.0), small, op.Neg(small)))
    # With ε = 0 the root of the mean square alone keeps s from 0, and is 0 where all of d is.
    return op.Div(r, s if epsilon else op.stabilise(s, 0.0))
