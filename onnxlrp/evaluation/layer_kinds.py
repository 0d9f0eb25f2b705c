"""Kinds of layers: convolutions and dense layers; in a model with attention, the places of a transformer block.

The places are told by the graph alone. Names of nodes and weights play no part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import networkx as nx

from onnxlrp.composites import Role
from onnxlrp.plan import Plan, Step
from onnxlrp.plan.steps import StepKind, every_step
from onnxlrp.rules import Rule

PROJECTION = "query, key and value"
ATTENTION_OUTPUT = "attention output"
MLP_IN = "MLP in"
MLP_OUT = "MLP out"
OTHER = "other layers"


@dataclasses.dataclass(frozen=True)
class PlannedLayer:
    """A layer that relevance passes, with the rule that a composite gives it."""

    name: str
    operator: str
    role: Role
    rule: Rule
    kind: str
    """"convolution", "dense", or in a model with attention one of the names in this file."""


def planned_layers(plan: Plan) -> list[PlannedLayer]:
    """List the layers of a plan in topological order, those near the inputs first; each name once."""
    places = _Places(plan)
    found: dict[str, PlannedLayer] = {}
    for step in reversed(list(every_step(plan.steps))):
        if step.kind is StepKind.LAYER and step.role is not None and step.rule is not None:
            kind = places.kind(step) if step.role.attention else step.role.kind
            found[step.name] = PlannedLayer(step.name, step.node.op_type, step.role, step.rule, kind)
    return list(found.values())


class _Places:
    """Finds the place of each layer in a transformer block.

    Relevance goes along the edges of the plan, so that its successors lie upstream in the model.
    """

    def __init__(self, plan: Plan) -> None:
        self.graph: nx.MultiDiGraph = plan.graph
        self.steps = {step.name: step for step in plan.steps}
        dense = [step for step in plan.steps if _is_inner_dense(step)]
        upstream, downstream = self.graph.successors, self.graph.predecessors
        self.kinds = {step.name: PROJECTION for step in dense if self._meets_attention(step, downstream)}
        rest = [step for step in dense if step.name not in self.kinds]
        self.kinds |= {step.name: ATTENTION_OUTPUT for step in rest if self._meets_attention(step, upstream)}
        self._add_mlps([step for step in rest if step.name not in self.kinds])

    def kind(self, step: Step) -> str:
        return self.kinds.get(step.name, OTHER)

    def _add_mlps(self, rest: list[Step]) -> None:
        """Mark layers that read another layer by elementwise steps and products alone, and the layers that they
        read. Sums of several branches and norms belong to the residual stream."""
        names = {step.name for step in rest}
        for step in rest:
            within = self._reached(step.name, self.graph.successors, lambda other: not _joins_stream(other))
            sources = names & set(within)
            if sources:
                self.kinds.setdefault(step.name, MLP_OUT)
                self.kinds |= dict.fromkeys(sources, MLP_IN)

    def _meets_attention(self, step: Step, towards: Callable[[str], Iterator[str]]) -> bool:
        """Decide whether a product of attention lies on the way, without another layer between."""
        reached = self._reached(step.name, towards, lambda other: not _attends(other))
        return any(_attends(self.steps[name]) for name in reached if name in self.steps)

    def _reached(
        self, start: str, towards: Callable[[str], Iterator[str]], passes: Callable[[Step], bool]
    ) -> Iterator[str]:
        """Yield the steps that can be reached through steps that are no layers and that `passes` lets through."""
        seen, waiting = {start}, [start]
        while waiting:
            name = waiting.pop()
            step = self.steps.get(name)
            if name != start and (step is None or step.layer is not None or not passes(step)):
                continue
            new = [one for one in towards(name) if one not in seen]
            seen.update(new)
            waiting += new
            yield from new


def _is_inner_dense(step: Step) -> bool:
    return step.role is not None and step.role.kind == "dense" and not step.role.last


def _attends(step: Step) -> bool:
    """Decide whether a step is an attention operator, or a matrix product of two operands that are data."""
    is_product = step.kind is StepKind.PRODUCT and not step.entry.elementwise and len(step.operands) > 1
    return is_product or "Attention" in step.operator


def _joins_stream(step: Step) -> bool:
    return "Norm" in step.operator or (step.kind is StepKind.SUM and len(step.operands) > 1)
