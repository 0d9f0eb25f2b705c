"""Iterate over the graphs inside a node, the names that they read, and nodes in an order in which they can be
computed."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Iterator

import onnx


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the graphs that a node's attributes hold."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def every_node(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield nodes and all nodes of the graphs inside them."""
    for node in nodes:
        yield node
        for graph in inner_graphs(node):
            yield from every_node(graph.node)


def bodies_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.GraphProto]:
    """Yield the graphs inside nodes, at every depth."""
    for node in every_node(nodes):
        yield from inner_graphs(node)


def reads(node: onnx.NodeProto) -> set[str]:
    """Find the names that a node reads, with those that its bodies read from the graphs around them."""
    names = set(node.input)
    for graph in inner_graphs(node):
        inside = {*(v.name for v in graph.input), *(t.name for t in graph.initializer)}
        inside.update(name for inner in graph.node for name in inner.output)
        outer = {v.name for v in graph.output}.union(*map(reads, graph.node))
        names |= outer - inside
    names.discard("")
    return names


def in_order(nodes: Collection[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, each after those that it reads from; leave out nodes in a circle and downstream of
    it."""
    made = {name for node in nodes for name in node.output}
    waiting: dict[str, list[onnx.NodeProto]] = {}
    missing: dict[int, int] = {}
    ready: collections.deque[onnx.NodeProto] = collections.deque()
    for node in nodes:
        lacking = [name for name in reads(node) if name in made]
        for name in lacking:
            waiting.setdefault(name, []).append(node)
        missing[id(node)] = len(lacking)
        if not lacking:
            ready.append(node)
        while ready:
            yield (done := ready.popleft())
            made.difference_update(done.output)
            for reader in [r for name in done.output for r in waiting.pop(name, ())]:
                missing[id(reader)] -= 1
                if not missing[id(reader)]:
                    ready.append(reader)
