"""Warn where a rule assumes that relevance is never negative, as that of a ReLU's output, although it may be negative.

z⁺ shares the relevance of an output among the contributions that raise it. Where the output is negative, its relevance
mostly is too, so the contributions that raise the output receive negative relevance: the sign of the explanation turns.
A ReLU, or any function that is 0 below 0, stops the relevance of negative outputs.

A branch of a sum that a ReLU cuts may be negative too, but is not counted, or every residual network would be warned
of: in a trained one 1 to 9 % of all relevance was at negative outputs of such branches, against 49 to 63 % where a tanh
follows and 50 % where nothing does. Layers inside of If, Loop and Scan are not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.call import content
from onnxlrp.plan.steps import Step, StepKind


def signed_note(steps: Sequence[Step], facts: Facts, score: ir.Value, *, positive_seed: bool) -> str | None:
    """Write the warning that names the layers whose rule needs relevance that is not negative and that have no ReLU
    downstream; None if there are no such layers.

    `positive_seed` says that relevance starts at max(0, score).
    """
    signed = _signed_values(steps, facts, score, positive_seed)
    found = [s for s in steps if s.rule is not None and s.rule.reads_activation and s.outputs[0] in signed]
    if not found:
        return None
    rules = " and ".join(sorted({type(s.rule).__name__ for s in found}))
    where = f"layer {found[0].name!r}" if len(found) == 1 else f"{len(found)} layers, the first {found[0].name!r}"
    return (
        f"warning: {rules} takes relevance for an activation that is never negative, but no ReLU cuts the output of "
        f"{where}: where the output is negative the sign of its relevance turns. Gamma and Epsilon keep the sign."
    )


def _signed_values(steps: Sequence[Step], facts: Facts, score: ir.Value, positive_seed: bool) -> set[ir.Value]:
    """Collect the values that may be negative and may have relevance at their negative elements. `steps` go from the
    score to the inputs."""
    reached, signed = {score}, set() if positive_seed else {score}
    for step in steps:
        if not any(v in reached for v in step.outputs):
            continue
        arrives = any(v in signed for v in step.outputs)
        receivers = [v for i, v in step.operands.items() if not step.shares or i in step.shares]
        reached.update(receivers)
        signed.update(v for v in receivers if v not in facts.nonnegative and _lets(step, v, arrives, facts))
    return signed


def _lets(step: Step, operand: ir.Value, arrives: bool, facts: Facts) -> bool:
    """Decide whether a step gives relevance to negative elements of an operand; `arrives` says whether negative
    elements of the step's own output have relevance."""
    cuts = operand is step.call.input(0) and step.entry.sign_of(step.call) == "rectified"
    if step.kind is StepKind.RECTIFIER or cuts:
        return False
    keeps = step.kind in (StepKind.ROUTING, StepKind.SUM, StepKind.CONTROL)
    return arrives if keeps or step.entry.rounding or _by_positive(step, operand, facts) else True


def _by_positive(step: Step, operand: ir.Value, facts: Facts) -> bool:
    """Decide whether a step multiplies or divides an operand by what is never negative."""
    if step.kind not in (StepKind.SCALE, StepKind.PRODUCT) or not step.entry.elementwise:
        return False
    others = [v for v in step.call.inputs if v is not None and v is not operand]
    return bool(others) and all(v in facts.nonnegative or _never_negative(v) for v in others)


def _never_negative(value: ir.Value) -> bool:
    array = content(value)
    return array is not None and bool((array >= 0).all())
