"""The model itself in a file that computes relevance on demand: the nodes that run when relevance is switched off."""

from __future__ import annotations

import math

import onnx

_FEW = 4096
"""Most elements of a constant that is copied: enough for a mean or a scale, and for numbers of classes."""


def model_alone(graph: onnx.GraphProto, explain_input: str | None) -> onnx.GraphProto:
    """Return the graph itself if relevance is always computed, else one of its nodes and those of the branch without
    relevance, with the small constants."""
    branches = [
        attribute.g
        for node in graph.node
        if explain_input is not None and node.op_type == "If" and list(node.input) == [explain_input]
        for attribute in node.attribute
        if attribute.name == "else_branch"
    ]
    if not branches:
        return graph
    alone = onnx.GraphProto()
    for part in (graph, *branches):
        alone.node.extend(part.node if part is not graph else (n for n in part.node if explain_input not in n.input))
        alone.initializer.extend(t for t in part.initializer if math.prod(t.dims) <= _FEW)
    return alone
