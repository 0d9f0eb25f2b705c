"""Candidates of a tuning: a composite to start from, and rules that take the place of its own at some layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlrp.composites import Composite, Overridden, parse
from onnxlrp.convert import inspect
from onnxlrp.errors import InputError
from onnxlrp.evaluation.layer_kinds import PlannedLayer, planned_layers
from onnxlrp.evaluation.node_patterns import patterns_of
from onnxlrp.plan.steps import Plan, StepKind, every_step
from onnxlrp.reprs import cut
from onnxlrp.rules import Rule

UPSTREAM, DOWNSTREAM = -1, 1
"""Sides of a split."""


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """A composite that a search starts from, planned on the model."""

    name: str
    base: str
    """Text of the composite, by which a file names it."""
    rules: tuple[tuple[str, Rule], ...]
    """Rules of its own for single layers, tried before the composite."""
    layers: tuple[PlannedLayer, ...]
    """Layers in topological order."""
    users: Mapping[str, frozenset[str]]
    """Names of the steps that took each of these rules, by its pattern."""
    operators: frozenset[str]
    """Operators of the plan."""
    elsewhere: Hashable
    """Everything that the composite decides beside the rules of layers."""


def make_start(model: Any, composite: str | Path | Composite | Overridden, options: Mapping[str, Any]) -> Start:
    """Plan a composite on a model; `options` are those of `convert`.

    Raises InputError for a composite that a file cannot name, and for gradients, whose layers take no rules.
    """
    given = parse(composite)
    base, rules = (given.base, given.rules) if isinstance(given, Overridden) else (given, ())
    name = str(composite) if isinstance(composite, (str, Path)) else str(base) + (" with rules" if rules else "")
    if base.seed == "gradient":
        raise InputError(f"{name} is a gradient, whose layers take no rules: `evaluate` compares it with others")
    if not _can_be_named(base):
        raise InputError(f"{name!r:.80} cannot be written to a composite file: register it under its name {base!s:.80}")
    plan = inspect(model, given, **{key: value for key, value in options.items() if key != "target"})
    steps = list(every_step(plan.steps))
    users = {
        pattern: frozenset(s.name for s in steps if s.why.startswith(f"override {pattern}")) for pattern, _ in rules
    }
    operators = frozenset(step.node.op_type for step in steps)
    return Start(name, str(base), rules, tuple(planned_layers(plan)), users, operators, _decided_elsewhere(plan))


def _can_be_named(base: Composite) -> bool:
    try:
        return bool(parse(str(base)) == base)
    except InputError:
        return False


def _decided_elsewhere(plan: Plan) -> Hashable:
    composite = plan.composite
    others = tuple(
        (step.name, step.operator, step.rule_text, step.kind.value, tuple(step.shares.items()))
        for step in every_step(plan.steps)
        if step.kind is not StepKind.LAYER
    )
    return composite.seed, composite.activations, composite.trees, others


@dataclasses.dataclass(frozen=True)
class RuleChoice:
    """One rule for some layers."""

    where: str
    """Layers in words."""
    names: tuple[str, ...]
    """Names of the layers."""
    rule: Rule
    side: int = 0
    """Side of a split that the layers are on, `UPSTREAM` or `DOWNSTREAM`; 0 if the rule belongs to no split."""


@dataclasses.dataclass(frozen=True, eq=False)
class Candidate:
    """A composite with choices, of which the first for a layer counts."""

    start: Start
    choices: tuple[RuleChoice, ...] = ()

    @property
    def name(self) -> str:
        """Name in tables."""
        return "; ".join([self.start.name, *(f"{one.where}: {cut(rule_text(one.rule))}" for one in self.choices)])

    def with_choice(self, choice: RuleChoice) -> Candidate:
        """Return the candidate with one more choice, which counts first; choices that it covers are dropped."""
        kept = (one for one in self.choices if not set(one.names) <= set(choice.names))
        return dataclasses.replace(self, choices=(choice, *kept))

    def replacing(self, old: RuleChoice, new: RuleChoice) -> Candidate:
        """Return the candidate with a choice in the place of another."""
        return dataclasses.replace(self, choices=tuple(new if one is old else one for one in self.choices))

    def rules(self) -> dict[str, Rule]:
        """Return the rule of every layer by its name, in topological order."""
        given = {layer.name: layer.rule for layer in self.start.layers}
        for choice in reversed(self.choices):
            given |= dict.fromkeys(choice.names, choice.rule)
        return given

    @property
    def signature(self) -> Hashable:
        """Everything that the relevance depends on: two candidates with one signature explain alike."""
        return self.start.elsewhere, tuple((name, rule_text(rule)) for name, rule in self.rules().items())

    def overrides(self) -> list[tuple[str, Rule]]:
        """List patterns of node names with their rules, for the layers whose rule is not that of the start."""
        by_text: dict[str, tuple[Rule, list[str]]] = {}
        for name, rule in self._changed().items():
            by_text.setdefault(rule_text(rule), (rule, []))[1].append(name)
        every = names_of(self.start.layers)
        found = []
        for rule, names in by_text.values():
            others = [name for name in every if name not in names]
            found += [(pattern, rule) for pattern in patterns_of(names, others, self.start.operators)]
        # A rule of the start that no step takes any more would be refused.
        changed = self._changed().keys()
        return [*found, *((pattern, rule) for pattern, rule in self.start.rules if self.start.users[pattern] - changed)]

    def _changed(self) -> dict[str, Rule]:
        rules = self.rules()
        return {layer.name: rules[layer.name] for layer in self.start.layers if rules[layer.name] != layer.rule}

    def composite(self) -> Composite | Overridden:
        """Return the composite, as a file that holds `start.base` and the overrides gives it back."""
        rules = tuple(self.overrides())
        base = parse(self.start.base)
        return Overridden(base, rules) if rules and isinstance(base, Composite) else base


def rule_text(rule: Rule) -> str:
    """Write a rule as a composite file holds it: with every parameter of its own, and those of all rules where they
    are not the default. (`str` cuts long lists of bounds.)"""
    fields = [f for f in dataclasses.fields(rule) if not f.kw_only or getattr(rule, f.name) != f.default]
    given = ", ".join(f"{f.name}={getattr(rule, f.name)!r}" for f in fields)
    return f"{type(rule).__name__}({given})" if given else type(rule).__name__


def names_of(layers: Sequence[PlannedLayer]) -> tuple[str, ...]:
    """Return the names of layers."""
    return tuple(layer.name for layer in layers)
