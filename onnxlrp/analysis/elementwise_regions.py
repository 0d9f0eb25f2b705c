"""Regions of elementwise nodes with one data input, such as a HardSwish, GELU or SiLU that is written out."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.misses import attempt, holds, is_asked, miss
from onnxlrp.operators.registry import Kind, find


def region_entry(node: ir.Node, facts: Facts) -> ir.Value | None:
    """Return the one value that the region ending in `node` is an elementwise function of; None where it has several.

    A region ends only where branches meet: a chain of nodes with one operand each needs no region.
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
    """Return the nearest value upstream that every path to a node passes through, and whether a node between is
    nonlinear; (None, False) where a node between is not elementwise.

    Regions that are already known are skipped over, so that each node is visited once.
    """
    frontier, curved = _Frontier(node, facts), _bends(node, facts)
    frontier.add(_data(node, facts))
    while len(frontier.values) > 1:
        value = frontier.pop()
        producer = _producer_in(value, node)
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
    """Values upstream of a node that are still to be visited, the last one in topological order first."""

    def __init__(self, node: ir.Node, facts: Facts) -> None:
        self.node, self.order = node, facts.order
        self.values: set[ir.Value] = set()
        self._waiting: list[tuple[int, int, ir.Value]] = []

    def add(self, values: Iterable[ir.Value]) -> None:
        """Add values to those that are to be visited, each once."""
        for value in values:
            if value not in self.values:
                self.values.add(value)
                producer = _producer_in(value, self.node)
                place = -1 if producer is None else self.order[producer]
                heapq.heappush(self._waiting, (-place, id(value), value))

    def pop(self) -> ir.Value:
        """Remove the last value in topological order and return it."""
        value = heapq.heappop(self._waiting)[2]
        self.values.remove(value)
        return value


def _producer_in(value: ir.Value, node: ir.Node) -> ir.Node | None:
    """Return the node that computes a value, if it is in the same graph: a region does not reach out of a body."""
    producer = value.producer()
    return producer if producer is not None and producer.graph is node.graph else None


def _bends(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a node is nonlinear in its data: x·x and 2/x are, x + x and 2·x are not."""
    entry = find(node)
    if entry is None or entry.kind is not Kind.LINEAR:
        return entry is not None
    operands = facts.relevance_operands(node)
    alone = len(operands) == 1 and (entry.linearity != "quotient" or 0 in operands)
    return not (entry.linearity in ("sum", "affine") or alone)


def _elementwise(node: ir.Node) -> bool:
    entry = find(node)
    # An operator that fills in missing values has its own reversal, and no derivative that a region could multiply by.
    return entry is not None and entry.elementwise and (entry.kind is not Kind.CUSTOM or entry.rounding)


def _data(node: ir.Node, facts: Facts) -> list[ir.Value]:
    return list(facts.relevance_operands(node).values())
