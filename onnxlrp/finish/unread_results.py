"""Pass that takes results off loops, scans and branches that nothing reads, with what is computed for them alone.

Relevance lets a loop hand out a value of every step; a copy of the loop that relevance does not read keeps none of
them.
"""

from __future__ import annotations

from collections.abc import Collection, MutableSequence, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import graphs_of
from onnxlrp.graph.readers import is_read
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.operators.control_flow import Body, bodies

_OF_RESULTS = ("scan_output_axes", "scan_output_directions")
"""Attributes of a Scan that list one number for each stacked result."""


def drop_unread_results(graph: ir.Graph) -> None:
    """Drop the results of control flow that nothing reads, in a graph and in its bodies."""
    for node in reversed(list(graph)):
        if not any(is_read(value) for value in node.outputs):
            graph.remove(node, safe=True)
            continue
        found = bodies(node)
        unread = _unread(node, found) if found else set()
        for inner in graphs_of(_without(graph, node, found, unread) if unread else node):
            drop_unread_results(inner)


def _unread(node: ir.Node, found: Sequence[Body]) -> set[int]:
    """Find the outputs of a node that nothing reads, and that no other result needs from one step to the next."""
    unread = {i for i, value in enumerate(node.outputs) if not is_read(value)}
    states = {result: start for start, _, _, result in found[0].states}
    if not states:
        return unread
    needed = {i for i in range(len(node.outputs)) if i not in unread}
    while True:
        ends = [*found[0].graph.outputs[: node.op_type == "Loop"], *(_computed(found[0], i) for i in needed)]
        read = {v for n in upstream(ends, read_by) for v in read_by(n)} | {*ends}
        more = {i for i, start in states.items() if start in read} - needed
        if not more:
            return unread - needed
        needed |= more


def _computed(body: Body, index: int) -> ir.Value:
    """Return the value of a body that becomes an output of its node."""
    results = {i: value for _, value, _, i in body.states} | {i: value for value, i in body.stacked}
    return results[index]


def _without(graph: ir.Graph, node: ir.Node, found: Sequence[Body], unread: Collection[int]) -> ir.Node:
    """Put a node without some outputs in the place of a node."""
    gone: set[int] = set()
    for body in found:
        states = [s for s in body.states if s[3] in unread]
        gone = {operand for _, _, operand, _ in states}
        results = {_computed(body, index) for index in unread}
        _keep(body.graph.outputs, [v not in results for v in body.graph.outputs])
        starts = {start for start, *_ in states}
        _remove_unread(body.graph, {*upstream(results, read_by)})
        _keep(body.graph.inputs, [v not in starts for v in body.graph.inputs])
    first = len(found[0].states)
    for name in _OF_RESULTS:
        if name in node.attributes:
            numbers = node.attributes[name].as_ints()
            node.attributes[name] = ir.AttrInt64s(name, [n for i, n in enumerate(numbers, first) if i not in unread])
    inputs = [v for i, v in enumerate(node.inputs) if i not in gone]
    kept = [v for i, v in enumerate(node.outputs) if i not in unread]
    outputs = [ir.Value(name=v.name, type=v.type, shape=v.shape) for v in kept]
    less = ir.Node("", node.op_type, inputs, list(node.attributes.values()), outputs=outputs, name=node.name)
    less.metadata_props.update(node.metadata_props)
    for old, new in zip(kept, outputs, strict=True):
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.insert_before(node, less)
    graph.remove(node, safe=True)
    return less


def _remove_unread(graph: ir.Graph, nodes: Collection[ir.Node]) -> None:
    """Remove those among some nodes of a graph whose results nothing reads any more."""
    for node in reversed(list(graph)):
        if node in nodes and not any(is_read(value) for value in node.outputs):
            graph.remove(node, safe=True)


def _keep(values: MutableSequence[ir.Value], kept: Sequence[bool]) -> None:
    """Keep some of the inputs or outputs of a graph, in place."""
    for index in reversed(range(len(kept))):
        if not kept[index]:
            values.pop(index)
