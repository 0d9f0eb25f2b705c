"""The caller's own rules: which steps they are for, and which they can be applied to."""

from __future__ import annotations

import fnmatch

from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Overrides, Step, StepKind
from onnxlrp.rule_language import EVENLY, IN_PROPORTION
from onnxlrp.rules import Norm, Pass, Rule


class Overriding:
    """Overrides, and which of them a step has taken."""

    def __init__(self, overrides: Overrides) -> None:
        self.overrides = list(overrides)
        self._applied: set[int] = set()

    def apply(self, step: Step) -> None:
        """Give a step the rule of the first override that matches it and can be applied."""
        for index, (pattern, rule) in enumerate(self.overrides):
            if not _matches(pattern, step):
                continue
            by_type = isinstance(pattern, str) and pattern == step.node.op_type
            if not _applies(rule, step, by_type):
                continue
            self._applied.add(index)
            step.rule, step.why = rule, f"override {pattern if isinstance(pattern, str) else 'by predicate'}"
            if step.kind is not StepKind.LAYER:
                step.kind = StepKind.PASS_THROUGH if isinstance(rule, Pass) else StepKind.SUM
            return

    def check(self, gradient: str | None) -> None:
        """Raise InputError where an override fits no step, or where the composite is a gradient; `gradient` is then its
        name."""
        idle = [p for i, (p, _) in enumerate(self.overrides) if i not in self._applied]
        if idle and gradient is None:
            names = ", ".join(repr(p) for p in idle)
            raise InputError(f"no step on the path takes the override for {names}; `onnxlrp inspect` lists the steps")
        if self.overrides and gradient is not None:
            raise InputError(f"{gradient} is a gradient: rules cannot be overridden in it")


def _matches(pattern: object, step: Step) -> bool:
    if callable(pattern):
        return bool(pattern(step))
    if not isinstance(pattern, str):
        raise InputError(f"an override's pattern is a node name, an operator or a predicate, not {pattern!r}")
    return pattern == step.node.op_type or fnmatch.fnmatchcase(step.name, pattern)


def _applies(rule: Rule, step: Step, by_type: bool) -> bool:
    """Decide whether a step can take a rule. A layer takes all but Pass and Norm. A step with one data operand that is
    elementwise or a scale takes Pass. A sum takes Norm, and also the ε and flat rules if the override names its
    operator."""
    if step.kind is StepKind.LAYER:
        return not isinstance(rule, (Pass, Norm))
    if isinstance(rule, Pass):
        return len(step.operands) == 1 and (step.entry.elementwise or step.entry.scales)
    if step.kind is not StepKind.SUM:
        return False
    return isinstance(rule, Norm) or (by_type and rule.shares() in (IN_PROPORTION, EVENLY))
