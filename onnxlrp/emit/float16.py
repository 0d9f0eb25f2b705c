"""Relevance in float16: the seed is scaled so that the numbers fit into float16's range (6e-8 to 65504), and the
results are scaled back in float32. Every rule is linear in the relevance that it shares out, so this changes nothing
else."""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.plan import Step, StepKind
from onnxlrp.plan.working_types import narrowed_to

_LARGEST = 8.0
"""The largest seed, and the largest relevance, to begin with."""
_SMALLEST = 2.0**-10
"""A seed below this stays smaller: its factor must be in range too."""
_BOUND = 2.0**13
"""The largest relevance or factor between two steps: a sum of a few of these is still in range."""
_WIDE = frozenset({StepKind.CUSTOM, StepKind.CONTROL, StepKind.OFFSET, StepKind.SLOPE})
MANY = 8
"""Sums of this many terms are clipped, because they may overflow float16."""


def half_seed(op: Builder, seed: ir.Value, score: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Return a power of two, float32, and the seed times this power, float16: neither the scaled seed nor its product
    with the score exceeds 8.

    A power of two changes no digit, so a sample's relevance does not depend on the rest of its batch.
    """
    wide = op.cast(seed, ir.DataType.FLOAT)
    product = op.Mul(wide, op.cast(score, ir.DataType.FLOAT))
    # A score that nobody asked for may be −inf, and one sample's that is no number is not the others' affair.
    amount = op.Where(op.Less(op.Abs(product), op.number(np.inf, wide)), product, op.number(0.0, wide))
    largest = op.Max(op.ReduceMax(op.Max(op.Abs(amount), op.Abs(wide)), keepdims=0), _SMALLEST)
    exponent = op.Ceil(op.Div(op.Log(op.Div(largest, _LARGEST)), math.log(2)))
    scale = op.Pow(op.number(2.0, wide), op.Neg(exponent))
    return scale, op.cast(op.Mul(wide, scale), ir.DataType.FLOAT16)


def unscaled(op: Builder, result: ir.Value, scale: ir.Value | None) -> ir.Value:
    """A result in its own size; `scale` is None where the relevance part is not in float16."""
    return result if scale is None else op.Div(result, scale)


def bounded(op: Builder, value: ir.Value) -> ir.Value:
    """Clip a float16 quotient, product or sum so that it is finite, and so are sums of a few like it."""
    producer = value.producer()
    if value.dtype != ir.DataType.FLOAT16 or (producer is not None and producer.op_type == "Clip"):
        return value
    return op.Clip(value, op.number(-_BOUND, value), op.number(_BOUND, value))


def widest(dtype: ir.DataType) -> ir.DataType:
    """The type that sums of many terms are computed in: float32 at least."""
    return ir.DataType.FLOAT if dtype == ir.DataType.FLOAT16 else dtype


def working_type(dtype: ir.DataType, step: Step) -> ir.DataType:
    """The type that a step computes in, where relevance is carried in `dtype`.

    It is float32 at least where a step adds up and divides in more than one place (norms, softmax, recurrence, control
    flow), compares (winners) or subtracts (activations). It is float64 only where the model's own step is.
    """
    dtype = narrowed_to(step, dtype)
    wide = step.kind in _WIDE or step.entry.selects_by_value
    return widest(dtype) if wide else dtype
