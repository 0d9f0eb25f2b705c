"""Pass that passes a loop's body all that it reads, for runtimes whose bodies see nothing of the graph around them."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import captured, content, graphs_of
from onnxlrp.graph.provenance import is_relevance


def close_bodies(op: Builder) -> None:
    """Close the bodies of the relevance part's loops, from the outermost to the innermost.

    A constant that a body reads from around it becomes a constant of the body; any other value becomes a state that no
    step changes.
    """
    for node in list(op.graph):
        if node.domain == "" and node.op_type in ("Scan", "Loop") and is_relevance(node):
            node = _closed(op, node)
        for body in graphs_of(node):
            close_bodies(op.inside(body, f"closed_{len(body)}"))


def _closed(op: Builder, node: ir.Node) -> ir.Node:
    """Close one loop; returns the node that stands for it now."""
    (body,) = graphs_of(node)
    inside = op.inside(body, "closed")
    states: list[tuple[ir.Value, ir.Value]] = []
    for outer in captured(node):
        known = content(outer)
        if known is not None:
            inner = inside.constant(known)
        else:
            inner = ir.val(f"{outer.name}_in_body", type=outer.type, shape=outer.shape)
            states.append((outer, inner))
        _replace_inside(body, outer, inner)
    return _with_states(op, node, body, inside, states) if states else node


def _replace_inside(body: ir.Graph, outer: ir.Value, inner: ir.Value) -> None:
    """Let everything inside of a body, and of its bodies, read `inner` in place of `outer`."""
    within = set(body.all_nodes())
    for reader, index in list(outer.uses()):
        if reader in within:
            reader.replace_input_with(index, inner)
    for graph in (body, *body.subgraphs()):
        for index, value in enumerate(graph.outputs):
            if value is outer:
                graph.outputs[index] = inner


def _with_states(
    op: Builder, node: ir.Node, body: ir.Graph, inside: Builder, states: list[tuple[ir.Value, ir.Value]]
) -> ir.Node:
    """Add states that stay as they are, after the loop's own."""
    scanned = node.attributes.get_int("num_scan_inputs", 0)
    operands, first = len(node.inputs) - scanned, len(body.inputs) - scanned
    # A Loop's body begins with the number of the step and a condition, and gives the condition first.
    extra, conditions = (2, 1) if node.op_type == "Loop" else (0, 0)
    count = first - extra
    outer, inner = [v for v, _ in states], [v for _, v in states]
    ends = []
    for value in inner:
        end = inside.alias(value, f"{value.name}_end")
        end.type, end.shape = value.type, value.shape
        ends.append(end)
    at = conditions + count
    body.outputs[:] = [*body.outputs[:at], *ends, *body.outputs[at:]]
    body.inputs[:] = [*body.inputs[:first], *inner, *body.inputs[first:]]
    inputs = [*node.inputs[:operands], *outer, *node.inputs[operands:]]
    old = list(node.outputs)
    left = [ir.val(f"{v.name}_left", type=v.type, shape=v.shape) for v in inner]
    new = [ir.val(str(v.name), type=v.type, shape=v.shape) for v in old]
    outputs = [*new[:count], *left, *new[count:]]
    attributes = list(node.attributes.values())
    node.attributes.clear()
    closed = ir.Node("", node.op_type, inputs, attributes, outputs=outputs, name=node.name)
    closed.metadata_props.update(node.metadata_props)
    ir.convenience.replace_nodes_and_values(op.graph, node, [node], [closed], old, new)
    return closed
