"""Find the last layers: those that the score reads without another layer in between."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.operators.control_flow import Body, bodies


def near_values(graph: ir.Graph, facts: Facts, scores: Collection[ir.Value]) -> set[ir.Value]:
    """Collect the scores and all values with no layer between them and the scores, inside of bodies too.

    A layer is a last one if its output is among these values. Recurrent and classical operators and embeddings count as
    layers.
    """
    near = set(scores)
    _spread(graph, facts, near)
    return near


def _spread(graph: ir.Graph, facts: Facts, near: set[ir.Value]) -> None:
    for node in reversed(graph):
        if not any(v in near for v in node.outputs) or node in facts.layer_nodes:
            continue
        if inner := bodies(node):
            _through(node, inner, facts, near)
        else:
            near.update(facts.relevance_operands(node).values())


def _through(node: ir.Node, inner: tuple[Body, ...], facts: Facts, near: set[ir.Value]) -> None:
    """Go through the bodies of a node, around loops until nothing more is found."""
    before = -1
    while before != len(near):
        before = len(near)
        for body in inner:
            near.update(end for end, index in body.stacked if node.outputs[index] in near)
            near.update(end for v, end, _, index in body.states if node.outputs[index] in near or v in near)
            _spread(body.graph, facts, near)
            handed = [(v, operand) for v, operand in body.slices] + [(v, o) for v, _, o, _ in body.states]
            near.update(v for value, o in handed if value in near and (v := node.inputs[o]) is not None)
