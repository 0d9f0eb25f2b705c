"""The steps of kernels, each explained against a reference that the plan names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.references import Reference, reference_of
from onnxlrp.analysis.values_inside import value_inside, value_of_one_sample
from onnxlrp.errors import InputError
from onnxlrp.operators.rescaled_kernels import Kernel, kernel_step
from onnxlrp.plan.steps import Step, StepKind


def kernel(found: Kernel, facts: Facts) -> Step | None:
    """Make the step of a kernel that is written out; None where it leads to no explained input."""
    node = found.end.producer()
    assert node is not None
    operands = {i: d.x for i, d in enumerate(found.distances)}
    if not any(v in facts.leads_to_input for v in operands.values()):
        return None
    references = [_reference(d.x, d.rows, facts) for d in found.distances]
    call, entry = kernel_step(found, [r.values for r in references], _at_references(found, references))
    sources = list(dict.fromkeys(r.source for r in references))
    return Step(
        name=str(node.name),
        operator="Kernel",
        node=node,
        call=call,
        entry=entry,
        kind=StepKind.CUSTOM,
        operands=operands,
        outputs=(found.end,),
        why=f"{entry.summary}; reference: {', '.join(sources)}",
    )


def _reference(x: ir.Value, rows: ir.Value | np.ndarray, facts: Facts) -> Reference:
    return reference_of(x, _vectors(rows), facts.background, facts.constants)


def _vectors(rows: ir.Value | np.ndarray) -> np.ndarray:
    """Return the constant rows that a kernel compares its data with, [rows, features]."""
    vectors = rows if isinstance(rows, np.ndarray) else value_inside(rows, {})
    return vectors.reshape(-1, vectors.shape[-1])


def _at_references(found: Kernel, references: Sequence[Reference]) -> np.ndarray | None:
    """Compute the kernel of the references, [1, rows]; None where its nodes cannot be evaluated."""
    feeds = {}
    for distance, reference in zip(found.distances, references, strict=True):
        squared = ((_vectors(distance.rows) - reference.values) ** 2).sum(axis=1, dtype=np.float64)[None]
        feeds[distance.value] = np.sqrt(squared) if distance.root else squared
    try:
        return value_of_one_sample(found.end, feeds)
    except InputError:
        return None


def compared(step: Step, facts: Facts) -> None:
    """Set the reference of a step whose operator compares its operand with rows of its own, as an SVM does; other steps
    stay as they are."""
    vectors = step.entry.compares(step.call)
    if vectors is None:
        return
    reference = reference_of(step.call.operand(0), vectors, facts.background, facts.constants)
    tensor = ir.AttrTensor("reference", ir.Tensor(reference.values, name="reference"))
    step.call = dataclasses.replace(step.call, attributes={**step.call.attributes, "reference": tensor})
    step.why = f"{step.why} Reference: {reference.source}."
