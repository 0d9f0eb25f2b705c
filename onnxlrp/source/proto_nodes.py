"""The nodes of a model as protocol buffers hold them, those of bodies included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx


def bodies(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """The graphs that nodes hold, and those that nodes of these hold."""
    for attribute in (a for n in nodes for a in n.attribute):
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            yield graph
            yield from bodies(graph.node)


def with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Nodes, and those of all their bodies."""
    yield from nodes
    for graph in bodies(nodes):
        yield from graph.node
