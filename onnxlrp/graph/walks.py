"""Walks through a graph: upstream from a value to what it is computed from, and downstream to what reads it.

The caller says which way to go, by a function from a node to the values to go on with.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Iterable, Iterator, Reversible, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import captured

Values = Callable[[ir.Node], Iterable[ir.Value | None]]


def inputs_of(node: ir.Node) -> Sequence[ir.Value | None]:
    """The operands of a node."""
    return node.inputs


def read_by(node: ir.Node) -> Sequence[ir.Value | None]:
    """The operands of a node, and what its bodies read from around them."""
    return (*node.inputs, *captured(node))


def made_by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """Find the node that makes a value, if it is one of some of ONNX's own operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type in op_types else None


def follow(value: ir.Value, through: Callable[[ir.Node], ir.Value | None]) -> ir.Value:
    """Follow a value upstream, from node to node, as long as `through` names an operand to go on with."""
    while (node := value.producer()) is not None and (operand := through(node)) is not None:
        value = operand
    return value


def follow_operators(value: ir.Value, op_types: Collection[str]) -> ir.Value:
    """Follow a value upstream along the first operand of some of ONNX's own operators."""

    def through(node: ir.Node) -> ir.Value | None:
        return node.inputs[0] if node.domain == "" and node.op_type in op_types and node.inputs else None

    return follow(value, through)


def upstream(values: Iterable[ir.Value | None], through: Values = inputs_of) -> Iterator[ir.Node]:
    """Yield every node upstream of values, once, the nearest first; `through` names a node's operands to go on with."""
    seen: set[ir.Node] = set()
    waiting = collections.deque(values)
    while waiting:
        value = waiting.popleft()
        node = None if value is None else value.producer()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += through(node)


def mark_upstream(nodes: Reversible[ir.Node], marked: set[ir.Value], through: Values) -> None:
    """Add to `marked`, in place, the values that marked values are computed from. `nodes` come in the graph's order;
    where an output of a node is marked, the operands that `through` names are marked."""
    for node in reversed(nodes):
        if any(v in marked for v in node.outputs):
            marked.update(v for v in through(node) if v is not None)


def mark_downstream(nodes: Iterable[ir.Node], marked: set[ir.Value], through: Values, read: Values = inputs_of) -> None:
    """Add to `marked`, in place, the values that are computed from marked values. `nodes` come in the graph's order;
    where a value that a node reads is marked, the outputs that `through` names are marked."""
    for node in nodes:
        if any(v in marked for v in read(node)):
            marked.update(v for v in through(node) if v is not None)


def ends_downstream(
    value: ir.Value, goes_on: Callable[[ir.Node, ir.Value], bool]
) -> list[tuple[ir.Node, ir.Value]] | None:
    """List the readers at which all ways downstream of a value end, each with the value that it reads there.

    A way goes on through a node and one of its operands where `goes_on` says so. None where a way leads to an output of
    the graph, or to a value that nobody reads.
    """
    ends: list[tuple[ir.Node, ir.Value]] = []
    waiting, seen = [value], {value}
    while waiting:
        value = waiting.pop()
        if value.is_graph_output() or not value.consumers():
            return None
        for node in value.consumers():
            if goes_on(node, value):
                waiting += [v for v in node.outputs if v not in seen]
                seen.update(node.outputs)
            else:
                ends.append((node, value))
    return ends
