"""The stabilised division of every rule: `s(d) = d + sgn(d)·(ε + ρ·rms(d))`, or `sgn(d)·max(|d|, ε + ρ·rms(d))`."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.context import Context
from onnxlrp.emit.float16 import bounded, widest
from onnxlrp.operators.reverse_builder import ReverseBuilder, least
from onnxlrp.rules import Rule


def divide(context: Context, r: ir.Value, d: ir.Value, rule: Rule, sign: int = 0) -> ir.Value:
    """`r / s(d)`, 0 where the stabiliser is 0 and d is 0."""
    op = context.op
    epsilon = least(rule.epsilon, context.dtype)
    small: ir.Value | float = epsilon
    if rule.relative:
        rank = len(d.shape or ())
        axes = op.ints(range(1, rank)) if rank > 1 else None
        wide = op.cast(d, widest(context.dtype))
        rms = op.cast(op.Sqrt(op.ReduceMean(op.Mul(wide, wide), axes, keepdims=1)), context.dtype)
        small = op.Add(op.Mul(rms, rule.relative), epsilon)
    if epsilon == 0 and not rule.relative:
        s = d
    elif rule.stabiliser == "clamp":
        s = op.clamped(d, op.number(small, d) if isinstance(small, float) else small, sign)
    elif sign:
        s = op.Add(d, small) if sign > 0 else op.Sub(d, small)
    elif isinstance(small, float):
        s = op.stabilise(d, small)
    else:
        s = op.Add(d, op.Where(op.GreaterOrEqual(d, 0.0), small, op.Neg(small)))
    # With ε = 0 the root of the mean square alone keeps s from 0, and is 0 where all of d is.
    return bounded(op, op.Div(r, s if epsilon else op.stabilise(s, 0.0)))


def ramp(op: ReverseBuilder, k: ir.Value, epsilon: float) -> ir.Value:
    """`min(k/ε, 1)` for k that is never negative: the part of a factor that a clamp leaves."""
    if k.dtype == ir.DataType.FLOAT:
        # One pass over memory, which onnxruntime preserves in the layout of its convolutions. OpenVINO would take a
        # beta of 0 for the default, 0.5.
        return op.HardSigmoid(k, alpha=1 / epsilon, beta=_NEARLY_NOTHING)
    return op.Min(op.Div(k, op.number(least(epsilon, k.dtype), k)), op.number(1.0, k))


_NEARLY_NOTHING = 1e-30
"""Number that rounds to nothing beside a quotient k/ε, and whose products are no denormal numbers, which are slow."""
