"""Find the embeddings that stand for inputs of ids where a model runs at points between two inputs."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import is_lookup, values_leading_to_input
from onnxlrp.composites import Composite, Gradient
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.plan.planner import plan_steps
from onnxlrp.plan.steps import Embeddings
from onnxlrp.printable import listed
from onnxlrp.source.question import Question


def decide_embeddings(graph: ir.Graph, facts: Facts, question: Question, composite: Composite) -> Embeddings | None:
    """Find the embeddings of all inputs of ids; None where the composite needs none, or where there are none.

    Where ids are also read as numbers, as by a mask that is computed from them, they keep their values.
    """
    ids = [v for v in question.inputs if v.dtype is not None and not v.dtype.is_floating_point()]
    if (composite.points is None and composite.reference is None) or not ids:
        return None
    path = set(upstream([question.score], read_by))
    leading = values_leading_to_input(graph, facts.operands, facts.data, ids)
    lookups = [
        node.outputs[0]
        for node in graph
        if node in path and node.outputs[0] in leading and is_lookup(node, facts.relevance_operands(node))
    ]
    steps = plan_steps(graph, facts, lookups, Gradient()) if lookups else []
    reached = {v for step in steps for v in step.operands.values()}
    found = tuple(v for v in ids if v in reached)
    floats = tuple(v for v in question.inputs if v not in ids and v in facts.leads_to_input)
    return Embeddings((*floats, *lookups), found, tuple(steps)) if found else None


def embeddings_note(found: Embeddings) -> str:
    """Say in a sentence for the plan which embeddings stand for ids."""
    lookups, ids = (listed(v.name for v in values) for values in (found.lookups, found.ids))
    return (
        f"the embeddings {lookups} stand for {ids}: each id gets the sum over its embedding, and a baseline is an id, "
        "whose embedding is taken"
    )
