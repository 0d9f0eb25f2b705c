"""Decide on the inner values that relevance ends at under some composites, which compute that of the inputs from it."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.composites import Composite
from onnxlrp.plan.attention_blocks import decide_rollout, rollout_note
from onnxlrp.plan.embeddings import decide_embeddings, embeddings_note
from onnxlrp.plan.map_layer import decide_map, map_note
from onnxlrp.plan.steps import InnerMap
from onnxlrp.source.question import Question


def decide_inner_map(
    graph: ir.Graph, facts: Facts, question: Question, composite: Composite, absorbed: Mapping[str, str]
) -> tuple[InnerMap | None, list[str]]:
    """Find these values, and sentences about them for the plan; None where relevance itself goes to the inputs.

    `absorbed` says where values of the source went that are gone, by name. Raises InputError where the map has no place
    on the inputs.
    """
    channels = decide_map(graph, facts, question, composite, absorbed)
    if channels is not None:
        return channels, [map_note(channels)]
    rollout = decide_rollout(graph, facts, question, composite)
    if rollout is not None:
        return rollout, [rollout_note(rollout)]
    embeddings = decide_embeddings(graph, facts, question, composite)
    return embeddings, [] if embeddings is None else [embeddings_note(embeddings)]
