"""Relevance in float16: every rule is linear in what it shares out, so it starts from a seed of a size that leaves room
on both sides of what float16 holds (6e-8 to 65504), and is brought back to its own size in float32."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxlrp.builder import Builder

_LARGEST = 8.0
"""Of what the seed and the relevance it stands for begin with."""
_SMALLEST = 2.0**-10
"""A seed below this stays smaller: its factor must be in range too."""
_QUOTIENT = 2.0**13
"""Where a denominator is all but 0; what is carried back then is still a sum of a few of these."""


def half_seed(op: Builder, seed: ir.Value, score: ir.Value) -> tuple[ir.Value, ir.Value]:
    """A power of two, float32, and the seed times it in float16: neither it nor its product with the score is above 8.

    A power of two changes no digit, so that samples do not change with the batch they are in.
    """
    wide = op.cast(seed, ir.DataType.FLOAT)
    product = op.Mul(wide, op.cast(score, ir.DataType.FLOAT))
    # A score that nobody asked for may be −inf.
    amount = op.Where(op.Equal(wide, 0.0), op.number(0.0, wide), product)
    largest = op.Max(op.ReduceMax(op.Max(op.Abs(amount), op.Abs(wide)), keepdims=0), _SMALLEST)
    exponent = op.Ceil(op.Div(op.Log(op.Div(largest, _LARGEST)), math.log(2)))
    scale = op.Pow(op.number(2.0, wide), op.Neg(exponent))
    return scale, op.cast(op.Mul(wide, scale), ir.DataType.FLOAT16)


def unscaled(op: Builder, result: ir.Value, scale: ir.Value | None) -> ir.Value:
    """A result in its own size; `scale` is None where the relevance part is not in float16."""
    return result if scale is None else op.Div(result, scale)


def bounded(op: Builder, quotient: ir.Value) -> ir.Value:
    """A quotient that float16 holds, also where its denominator is all but 0."""
    if quotient.dtype != ir.DataType.FLOAT16:
        return quotient
    return op.Clip(quotient, op.number(-_QUOTIENT, quotient), op.number(_QUOTIENT, quotient))
