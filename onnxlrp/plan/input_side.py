"""Choose the rules of the steps between an explained input and a first layer."""

from __future__ import annotations

from onnxlrp.analysis.facts import Facts
from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Step, StepKind
from onnxlrp.rules import Flat, Modifier, Pass, Rule


def _inputs(rule: Rule | None) -> list[object]:
    """List how the terms of a rule change the input."""
    if rule is None or isinstance(rule, Pass):
        return []
    return [term.x for share in rule.shares() for term in share.terms]


def ignores_value(rule: Rule | None) -> bool:
    """Decide whether a rule may give relevance to an input that is 0: flat, w², z-box."""
    return any(not isinstance(x, Modifier) or x.one for x in _inputs(rule))


def check_bounds(step: Step, facts: Facts) -> None:
    """Raise InputError for a rule with bounds of the model's input on a layer that has a layer upstream."""
    assert step.layer is not None
    if step.layer.x in facts.downstream_of_layer and not all(isinstance(x, Modifier) for x in _inputs(step.rule)):
        raise InputError(
            f"{step.rule} bounds the model's input, but {step.operator} {step.name!r} reads what another layer "
            "computes: give this rule to the first layer alone, by its node's name"
        )


def input_side(steps: list[Step], facts: Facts) -> None:
    """Let affine steps between an input and a first layer pass relevance. Pools and sums upstream of a layer whose rule
    gives relevance to zeros get the flat rule, so that nothing is divided by a value near 0."""
    flat = {
        v
        for s in steps
        if s.layer is not None and ignores_value(s.rule) and facts.is_first(s.layer)
        for v in [s.layer.x]
    }
    reached = set(flat)
    for step in steps:
        if any(v in reached for v in step.outputs):
            reached.update(step.operands.values())
    for step in steps:
        side = step.outputs[0] in facts.input_side
        if not side or step.kind not in (StepKind.SUM, StepKind.SCALE) or step.why.startswith("override"):
            continue
        if len(step.operands) == 1 and (step.entry.elementwise or step.entry.scales):
            step.kind, step.rule, step.why = StepKind.PASS_THROUGH, None, "affine, upstream of the first layer"
        elif step.outputs[0] in reached:
            step.rule, step.why = Flat(), "upstream of a first layer whose rule ignores the values"
