"""The operands of a layer, changed as the modifiers of a rule say."""

from __future__ import annotations

import functools

import onnx_ir as ir

from onnxlrp.emit.float16 import bounded
from onnxlrp.graph.builder import Builder
from onnxlrp.rule_language import SAME, Modifier


def modified(op: Builder, v: ir.Value, by: Modifier) -> ir.Value:
    """Return `same·v + plus·max(v, 0) + minus·min(v, 0) + square·v² + one`, in the shape of v."""
    parts: list[ir.Value] = []
    if by.above or by.below:
        parts.append(_bent(op, v, by.above, by.below))
    if by.square:
        parts.append(scaled_by(op, bounded(op, op.Mul(v, v)), by.square))
    if by.one or not parts:
        parts.append(op.full_like(v, by.one))
    return functools.reduce(op.Add, parts)


def modified_weight(op: Builder, w: ir.Value, by: Modifier) -> ir.Value:
    """Return a modified weight. A float16 weight is modified in float32, because sessions compute only float32
    constants on creation."""
    if w.dtype != ir.DataType.FLOAT16 or by == SAME:
        return modified(op, w, by)
    return op.cast(modified(op, op.cast(w, ir.DataType.FLOAT), by), w.dtype)


def scaled_by(op: Builder, v: ir.Value, factor: float) -> ir.Value:
    """Return `factor·v`, v itself where the factor is 1."""
    return v if factor == 1 else op.Neg(v) if factor == -1 else op.Mul(v, factor)


def _bent(op: Builder, v: ir.Value, above: float, below: float) -> ir.Value:
    """Return `above·v` where v is positive and `below·v` where it is negative, in as few operations as that takes: a
    session copies a whole weight for each, which is most of the time that it takes to create."""
    zero = op.number(0, v)
    if above == below:
        return scaled_by(op, v, above)
    if below == 0:
        return scaled_by(op, op.Max(v, zero), above)
    if above == 0:
        return op.Sub(op.Max(v, zero), v) if below == -1 else scaled_by(op, op.Min(v, zero), below)
    return (op.Max if above > below else op.Min)(scaled_by(op, v, above), scaled_by(op, v, below))
