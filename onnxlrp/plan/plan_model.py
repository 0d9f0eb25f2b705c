"""Read a model, decide what is explained in it, and plan every step: all of a conversion that emits nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts, analyse
from onnxlrp.analysis.references import Background
from onnxlrp.composites import Composite, Overridden
from onnxlrp.composites import parse as parse_composite
from onnxlrp.errors import InputError
from onnxlrp.graph.misses import find_asked
from onnxlrp.graph.names import unused_scope
from onnxlrp.operators.reverse_builder import ReverseBuilder
from onnxlrp.plan.inner_ends import ends_note, inner_ends
from onnxlrp.plan.inner_maps import decide_inner_map
from onnxlrp.plan.planner import make_plan
from onnxlrp.plan.steps import Overrides, Plan, Step
from onnxlrp.profiles import ONNXRUNTIME, Profile
from onnxlrp.rules import Rule
from onnxlrp.rules import parse as parse_rule
from onnxlrp.source.background import rows_of, split_clusters
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.outputs import hand_out_scores
from onnxlrp.source.question import Question, ask
from onnxlrp.source.read import Model, Source, read
from onnxlrp.source.tensor_scores import replace_maps
from onnxlrp.targets.kind import TargetKind

Rules = Sequence[tuple[str | Callable[[Step], bool], Rule | str]]
"""Patterns (a node's name with wildcards, an operator, a function of a step), each with its rule."""


@dataclasses.dataclass(frozen=True)
class PlannedModel:
    """A canonical graph, what is asked of it, and the plan that answers it."""

    source: Source
    op: ReverseBuilder
    question: Question
    background: Background | None
    absorbed: dict[str, str]
    """The source's inner values that are gone, each with where it went."""
    facts: Facts
    plan: Plan

    @property
    def graph(self) -> ir.Graph:
        """The canonical graph."""
        return self.source.model.graph


def plan_model(
    model: Model,
    composite: str | Path | Composite | Overridden,
    rules: Rules,
    output: str | None,
    inputs: Sequence[str] | None,
    explain_probability: bool,
    background: Any,
    *,
    kind: TargetKind | None = None,
    profile: Profile = ONNXRUNTIME,
    on_unsupported: str = "error",
    ends: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> PlannedModel:
    """Read, canonicalise, decide what is explained, analyse, and plan.

    `ends` are the names of inner values at which relevance ends where no input is explained, and `kept` those of others
    that are asked for; the other parameters are those of `convert`.
    """
    chosen, overrides = _rulebook(composite, rules)
    source = read(model)
    find_asked(source.model.graph)
    if profile.rewritten:
        replace_maps(source)
    hand_out_scores(source, output)
    maps_inner = chosen.map_weights is not None or chosen.rolling is not None
    absorbed = canonicalise(source.model, kept=None if maps_inner else {*ends, *kept})
    graph = source.model.graph
    op = ReverseBuilder(graph, unused_scope(graph, "lrp"), chosen.norm.epsilon, profile=profile)
    whole = explain_probability or chosen.explains_output
    question = ask(source, op, output, inputs, whole=whole, kind=kind)
    data, clusters = split_clusters(background)
    rows = None if data is None else Background(rows_of(data, graph.inputs), clusters)
    facts = analyse(graph, question.inputs, rows)
    if question.by_name and not question.inputs:
        explained = inner_ends(graph, facts, chosen, ends, absorbed, question.score)
        facts = analyse(graph, explained, rows)
        source.notes.append(ends_note(explained))
    inner_map, said = decide_inner_map(graph, facts, question, chosen, absorbed)
    if inner_map is not None:
        facts = analyse(graph, inner_map.ends, rows)
    plan = make_plan(graph, facts, question.score, chosen, overrides, on_unsupported=on_unsupported)
    op.clamps = plan.composite.stabilised(plan.composite.norm).stabiliser == "clamp"
    plan.inner_map = inner_map
    plan.notes = [*source.notes, *question.notes, *said, *plan.notes]
    if rows is not None and not rows.used:
        plan.notes.append("nothing in this model uses background rows")
    return PlannedModel(source, op, question, rows, absorbed, facts, plan)


def _rulebook(composite: str | Path | Composite | Overridden, rules: Rules) -> tuple[Composite, Overrides]:
    """Read the composite, and the overrides that are tried before it."""
    chosen = parse_composite(composite)
    if any(isinstance(one, str) or not isinstance(one, Sequence) or len(one) != 2 for one in rules):
        raise InputError("rules is a list of pairs, each of a pattern and a rule, such as [('Conv', 'ZPlus')]")
    overrides = [(p, parse_rule(r) if isinstance(r, str) else r) for p, r in rules]
    if isinstance(chosen, Overridden):
        return chosen.base, [*overrides, *chosen.rules]
    return chosen, overrides
