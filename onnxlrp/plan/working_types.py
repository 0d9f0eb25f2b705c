"""The type that the relevance part computes in: that of the model's layers, narrowed where a step computes in less."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Step, StepKind, every_step

_FLOAT, _DOUBLE = ir.DataType.FLOAT, ir.DataType.DOUBLE


def type_of_relevance(steps: Sequence[Step], facts: Facts, score: ir.Value, precision: str) -> ir.DataType:
    """Decide on the type of the relevance part: that of the layers where `precision` is "model"; else float64 where the
    layers compute in float64, and float32 for all others. Raises InputError for a model of bfloat16 that is to stay in
    it."""
    layers = type_of_layers(steps, facts, score)
    if precision == "model" and layers == ir.DataType.BFLOAT16:
        raise InputError("precision='model': onnxruntime has no bfloat16 kernels for it; leave precision='float32'")
    return layers if precision == "model" or layers == _DOUBLE else _FLOAT


def type_of_layers(steps: Sequence[Step], facts: Facts, score: ir.Value) -> ir.DataType:
    """Find the one type that all layers between the score and the inputs compute in, float32 where they differ.

    Without layers every step that computes has a say, and so has the score. A cast does not compute.
    """
    every = [s for s in every_step(steps) if s.operator not in ("Cast", "CastLike")]
    layers = {_only(_floats([*s.operands.values(), *s.outputs])) for s in every if facts.is_layer(s.node)}
    return _only(layers or ({own_type(s) for s in every} | _floats([score])))


def own_type(step: Step) -> ir.DataType:
    """Find the type that a step of the model computes in: the widest floating-point type of its operands, or of its
    outputs where no operand is a float."""
    types = _floats(step.operands.values()) or _floats(step.outputs)
    return _DOUBLE if _DOUBLE in types else _only(types)


def narrowed_to(step: Step, carried: ir.DataType) -> ir.DataType:
    """Narrow float64 to float32 for a step that the model computes in less: runtimes lack float64 kernels of many
    operators, and more digits than the model's own say nothing. A step that moves ids computes in no type."""
    computes = bool(_floats([*step.operands.values(), *step.outputs]))
    if carried != _DOUBLE or step.kind is StepKind.CONTROL or not computes or own_type(step) == _DOUBLE:
        return carried
    return _FLOAT


def _floats(values: Iterable[ir.Value]) -> set[ir.DataType]:
    """The types of floating-point values."""
    return {v.dtype for v in values if v.dtype is not None and v.dtype.is_floating_point()}


def _only(types: set[ir.DataType]) -> ir.DataType:
    return next(iter(types)) if len(types) == 1 else _FLOAT
