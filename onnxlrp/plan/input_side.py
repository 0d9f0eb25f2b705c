"""Between an explained input and a first layer."""

from __future__ import annotations

from onnxlrp.analysis.facts import Facts
from onnxlrp.plan.steps import Step, Treatment
from onnxlrp.rules import Flat, Modifier, Pass, Rule


def ignores_value(rule: Rule | None) -> bool:
    """Whether a rule may give relevance to an input that is 0: flat, w², z-box."""
    if rule is None or isinstance(rule, Pass):
        return False
    inputs = [term.x for share in rule.shares() for term in share.terms]
    return any(not isinstance(x, Modifier) or x.one for x in inputs)


def input_side(steps: list[Step], facts: Facts) -> None:
    """Between an input and a first layer affine steps pass; before a rule that gives relevance to zeros, pools and
    sums are flat, so that no value near 0 is divided by."""
    flat = {
        v
        for s in steps
        if s.layer is not None and ignores_value(s.rule) and s.layer.x not in facts.behind_layer
        for v in [s.layer.x]
    }
    reached = set(flat)
    for step in steps:
        if any(v in reached for v in step.outputs):
            reached.update(step.operands.values())
    for step in steps:
        side = step.outputs[0] in facts.before_layer
        if not side or step.treatment not in (Treatment.SUM, Treatment.SCALE) or step.why.startswith("override"):
            continue
        if len(step.operands) == 1 and (step.entry.elementwise or step.entry.scale):
            step.treatment, step.rule, step.why = Treatment.PASS, None, "affine, before the first layer"
        elif step.outputs[0] in reached:
            step.rule, step.why = Flat(), "before a first layer whose rule ignores the values"
