"""Regions of elementwise nodes of one data input: a HardSwish, GELU or SiLU written out is one activation."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.misses import attempt, holds, is_asked, miss
from onnxlrp.operators.registry import Kind, find


def region_entry(node: ir.Node, facts: Facts) -> ir.Value | None:
    """The one value that the region ending in `node` is a function of, element by element; None where it has several.

    Only a node where branches meet ends a region: a chain of single steps needs none.
    """
    return attempt("ends no function of one value that is written out", node, _entry, node, facts)


def _entry(node: ir.Node, facts: Facts) -> ir.Value | None:
    if not _elementwise(node):
        return None
    if len(_data(node, facts)) < 2:
        return None
    if not facts.regions:
        for earlier in facts.order:
            if _elementwise(earlier) and len(_data(earlier, facts)) > 1:
                facts.regions[earlier] = attempt("", earlier, _region, earlier, facts)
    entry, curved = facts.regions[node] if node in facts.regions else _region(node, facts)
    if entry is None:
        if is_asked(node):
            _region(node, facts)  # once more, for the reason that it gives
        return None
    same = entry.shape is not None and entry.shape == node.outputs[0].shape
    right = holds(curved, "all nodes in it are linear") and holds(same, f"{entry.name!r} has another shape")
    return entry if right else None


def _region(node: ir.Node, facts: Facts) -> tuple[ir.Value | None, bool]:
    """The last value that every way to a node leads through, if all nodes between are elementwise, and whether one of
    them bends. Where two ways meet on the way back, what is known of that node is not walked through again."""
    frontier, curved = _Frontier(node, facts), _bends(node, facts)
    frontier.add(_data(node, facts))
    while len(frontier.values) > 1:
        value = frontier.pop()
        producer = _made_in(value, node)
        if producer is None or not _elementwise(producer):
            miss(f"it reads {value.name!r}, which no elementwise node computes, and other values")
            return None, False
        entry, bends = facts.regions.get(producer, (None, _bends(producer, facts)))
        if entry is None and producer in facts.regions:
            miss(f"{producer.op_type} {producer.name!r} upstream is a function of several values")
            return None, False
        curved = curved or bends
        frontier.add(_data(producer, facts) if entry is None else [entry])
    (entry,) = frontier.values
    return entry, curved


class _Frontier:
    """Values upstream of a node that ways back have come to, of which the last one in the graph's order is next."""

    def __init__(self, node: ir.Node, facts: Facts) -> None:
        self.node, self.order = node, facts.order
        self.values: set[ir.Value] = set()
        self._waiting: list[tuple[int, int, ir.Value]] = []

    def add(self, values: Iterable[ir.Value]) -> None:
        """Let values be visited in their turn, each once."""
        for value in values:
            if value not in self.values:
                self.values.add(value)
                producer = _made_in(value, self.node)
                place = -1 if producer is None else self.order[producer]
                heapq.heappush(self._waiting, (-place, id(value), value))

    def pop(self) -> ir.Value:
        """Take the last value out."""
        value = heapq.heappop(self._waiting)[2]
        self.values.remove(value)
        return value


def _made_in(value: ir.Value, node: ir.Node) -> ir.Node | None:
    """The node that makes a value, if it stands in the same graph: a region does not reach out of a body."""
    producer = value.producer()
    return producer if producer is not None and producer.graph is node.graph else None


def _bends(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a node is not linear in its data: x + x and 2·x are linear, x · x and 2 / x are not."""
    entry = find(node)
    if entry is None or entry.kind is not Kind.LINEAR:
        return entry is not None
    operands = facts.relevance_operands(node)
    alone = len(operands) == 1 and (entry.linear_in is None or set(operands) <= set(entry.linear_in))
    return not (entry.jointly or alone)


def _elementwise(node: ir.Node) -> bool:
    entry = find(node)
    # What fills in missing values has a reverse of its own, and no derivative that a region could multiply by.
    return entry is not None and entry.elementwise and (entry.kind is not Kind.CUSTOM or entry.rounding)


def _data(node: ir.Node, facts: Facts) -> list[ir.Value]:
    return list(facts.relevance_operands(node).values())
