"""The type that the relevance part computes in: that of the model's layers, and of each step its own."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import LAYER_OPERATORS, Facts
from onnxlrp.analysis.reach import is_lookup
from onnxlrp.plan.steps import Step, Treatment, every_step

_FLOAT, _DOUBLE = ir.DataType.FLOAT, ir.DataType.DOUBLE


def type_of_layers(steps: Sequence[Step], facts: Facts, score: ir.Value) -> ir.DataType:
    """Find the one type that all layers between the score and the inputs compute in, float32 where they differ.

    Without layers, every floating-point value on the path has a say; without any, the score has.
    """
    every = list(every_step(steps))
    layers = {own_type(s) for s in every if _is_layer(s, facts)}
    types = layers or {t for s in every for t in _floats(s)} or {score.dtype or _FLOAT}
    return types.pop() if len(types) == 1 else _FLOAT


def own_type(step: Step) -> ir.DataType:
    """Find the type that a step of the model computes in: float32 where its values have several, or are integers."""
    types = _floats(step)
    return types.pop() if len(types) == 1 else _FLOAT


def narrowed_to(step: Step, carried: ir.DataType) -> ir.DataType:
    """Narrow float64 to float32 for a step that the model computes in less: runtimes lack float64 kernels of many
    operators, and more digits than the model's own say nothing."""
    if carried != _DOUBLE or step.treatment is Treatment.CONTROL or own_type(step) == _DOUBLE:
        return carried
    return _FLOAT


def _is_layer(step: Step, facts: Facts) -> bool:
    known = step.layer is not None or step.node in facts.layers or step.node.op_type in LAYER_OPERATORS
    return known or is_lookup(step.node, step.operands)


def _floats(step: Step) -> set[ir.DataType]:
    """The types of a step's floating-point values."""
    types = {v.dtype for v in (*step.operands.values(), *step.outputs)}
    return {t for t in types if t is not None and t.is_floating_point()}
