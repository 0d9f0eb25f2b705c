"""Values that may be NaN because the model tests for NaN and replaces it: there NaN means a missing value."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from onnxlrp.operators.registry import Kind, find


def missing_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Return the data that may be NaN for a missing value; `nodes` are in topological order.

    These are the values that are tested for NaN, the data upstream of them up to a layer, the data downstream of those
    up to a layer or Where, and the inputs that lead to any of these. The output of a softmax does not count: its own
    reversal handles rows that a mask hides completely.
    """
    order = list(nodes)
    missing = {v for n in order if (v := _tested(n)) is not None and v in data}
    for node in reversed(order) if missing else ():
        if any(v in missing for v in node.outputs) and _keeps(node):
            missing.update(v for v in node.inputs if v is not None and v in data)
    for node in order if missing else ():
        if node.op_type != "Where" and _keeps(node) and any(v in missing for v in node.inputs):
            missing.update(v for v in node.outputs if v in data)
    return missing | _inputs(order, missing, data)


def _inputs(order: list[ir.Node], values: set[ir.Value], data: Collection[ir.Value]) -> set[ir.Value]:
    """Return the inputs among data that lead to any of some values, also through layers, which pass a NaN on."""
    upstream = set(values)
    for node in reversed(order) if values else ():
        if any(v in upstream for v in node.outputs):
            upstream.update(v for v in node.inputs if v is not None and v in data)
    return {v for v in upstream if v.producer() is None}


def _tested(node: ir.Node) -> ir.Value | None:
    """Return the value that a node tests for NaN, by IsNaN or by a comparison with itself; None for other nodes."""
    compares = node.op_type == "Equal" and node.inputs[0] is node.inputs[1]
    if node.domain != "" or not (node.op_type == "IsNaN" or compares):
        return None
    value = node.inputs[0]
    producer = None if value is None else value.producer()
    return None if producer is not None and producer.op_type == "Softmax" else value


def _keeps(node: ir.Node) -> bool:
    """Decide whether a node that is no layer passes a NaN in an operand on to the result."""
    entry = find(node)
    return entry is not None and entry.layer is None and entry.kind in (Kind.ELEMENTWISE, Kind.ROUTING, Kind.LINEAR)
