"""Laws of a plan. Tests assert them once a plan is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.plan.steps import Plan, Step, StepKind, every_step


def check_plan(plan: Plan, facts: Facts, score: ir.Value) -> list[str]:
    """Collect what a plan violates, each in a sentence.

    The laws hold for plans that can be carried out. They need not hold for a plan with unsupported nodes, which goes on
    upstream of these only to name them all, nor for a score that leads to no explained input.
    """
    if plan.unsupported or score not in facts.leads_to_input:
        return []
    return [*_each_node_once(plan.steps), *_downstream_first(plan.steps, score), *_leads_somewhere(plan.steps, facts)]


def _each_node_once(steps: Sequence[Step]) -> Iterator[str]:
    """No value receives relevance at two steps, and no node is planned twice."""
    values: set[ir.Value] = set()
    nodes: set[ir.Node] = set()
    for step in every_step(steps):
        if step.node in nodes or not values.isdisjoint(step.outputs):
            yield f"{step.name!r} is planned twice"
        nodes.add(step.node)
        values.update(step.outputs)


def _downstream_first(steps: Sequence[Step], score: ir.Value) -> Iterator[str]:
    """Relevance arrives at each step of the main graph, all of it before the step hands it on."""
    arrived: set[ir.Value] = {score}
    passed: set[ir.Value] = set()
    for step in steps:
        if arrived.isdisjoint(step.outputs):
            yield f"no relevance arrives at {step.name!r}"
        late = [v.name for v in step.operands.values() if v in passed]
        if late:
            yield f"{step.name!r} hands relevance to {late[0]!r}, whose step is over"
        arrived.update(step.operands.values())
        passed.update(step.outputs)


def _leads_somewhere(steps: Sequence[Step], facts: Facts) -> Iterator[str]:
    """Each step has an operand that leads to an explained input; each layer has a rule."""
    for step in every_step(steps):
        if not any(v in facts.leads_to_input for v in step.operands.values()):
            yield f"{step.name!r} leads to no explained input"
        if step.kind is StepKind.LAYER and step.rule is None:
            yield f"the layer {step.name!r} has no rule"
