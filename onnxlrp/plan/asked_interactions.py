"""Interactions of columns: the steps that are asked for them, and the columns of the inputs that they belong to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import networkx as nx
import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.errors import InputError
from onnxlrp.plan.column_sources import column_names, column_sources
from onnxlrp.plan.steps import Plan, Step, StepKind

_ADDITIVE = frozenset({StepKind.LAYER, StepKind.SUM, StepKind.SCALE})
"""Kinds of step that add no interactions where they lie beside the ensembles."""


@dataclasses.dataclass(frozen=True)
class Interactions:
    """The columns whose interactions are explained."""

    columns: tuple[str, ...]
    """Names of all columns of the explained inputs."""
    sources: Mapping[str, np.ndarray]
    """For each step that hands back interactions, by its name, the place of the column among `columns` that each of its
    own columns comes from, int64 [own columns]; −1 for none."""


def ask_interactions(plan: Plan, facts: Facts, inputs: Sequence[ir.Value]) -> Interactions:
    """Ask the tree ensembles of a plan for interactions, by the attribute `interactions` of their calls, which holds
    the number of columns of their operand.

    Raises InputError if there are no ensembles, if columns are mixed on the way to them, or if steps beside them
    compute interactions for which there is no formula.
    """
    if plan.composite.seed == "gradient":
        raise InputError(f"interactions: {plan.composite} is a gradient, which has none")
    ensembles = [step for step in plan.steps if step.entry.interacts]
    if not ensembles:
        raise InputError(
            "interactions are those of tree ensembles, and none lies between the output and the inputs, outside the "
            "bodies of If, Loop and Scan"
        )
    _refuse_others(plan, ensembles)
    sources = {step.name: column_sources(step, plan.steps, inputs, facts) for step in ensembles}
    for step in ensembles:
        width = ir.AttrInt64("interactions", len(sources[step.name]))
        step.call = dataclasses.replace(step.call, attributes={**step.call.attributes, "interactions": width})
    return Interactions(tuple(column_names(inputs)), sources)


def _refuse_others(plan: Plan, ensembles: Sequence[Step]) -> None:
    """Raise InputError if a step that is neither upstream nor downstream of an ensemble may have interactions."""
    names = {step.name for step in ensembles}
    around = names.union(*(nx.descendants(plan.graph, n) | nx.ancestors(plan.graph, n) for n in names))
    for step in plan.steps:
        if step.name not in around and step.kind not in _ADDITIVE and not step.entry.moves:
            raise InputError(
                f"interactions: {step.operator} {step.name!r} lies beside the tree ensembles, and may combine columns "
                "in a way that has no interactions: explain an output of the ensembles alone"
            )
