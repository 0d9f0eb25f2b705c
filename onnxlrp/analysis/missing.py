"""Values that may be NaN because the model takes NaN for a missing value, which it tests for and replaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from onnxlrp.operators.registry import Kind, find


def missing_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that is tested for NaN, what it is computed from without a layer, what else is computed from that, and the
    inputs that lead to any of it.

    The output of a softmax is left out: its own reversal knows the rows that a mask hides as a whole. `nodes` in their
    order.
    """
    order = list(nodes)
    found = {v for n in order if (v := _tested(n)) is not None and v in data}
    for node in reversed(order) if found else ():
        if any(v in found for v in node.outputs) and _keeps(node):
            found.update(v for v in node.inputs if v is not None and v in data)
    for node in order if found else ():
        if node.op_type != "Where" and _keeps(node) and any(v in found for v in node.inputs):
            found.update(v for v in node.outputs if v in data)
    return found | _inputs(order, found, data)


def _inputs(order: list[ir.Node], found: set[ir.Value], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that no node makes, and that leads to some values: a layer's input is NaN where its output is."""
    upstream = set(found)
    for node in reversed(order) if found else ():
        if any(v in upstream for v in node.outputs):
            upstream.update(v for v in node.inputs if v is not None and v in data)
    return {v for v in upstream if v.producer() is None}


def _tested(node: ir.Node) -> ir.Value | None:
    """The value that a node tests for NaN: by IsNaN, or by comparing it with itself."""
    compares = node.op_type == "Equal" and node.inputs[0] is node.inputs[1]
    if node.domain != "" or not (node.op_type == "IsNaN" or compares):
        return None
    value = node.inputs[0]
    maker = None if value is None else value.producer()
    return None if maker is not None and maker.op_type == "Softmax" else value


def _keeps(node: ir.Node) -> bool:
    """Decide whether a NaN among the operands is one in the result, and none of a layer."""
    entry = find(node)
    return entry is not None and entry.layer is None and entry.kind in (Kind.ELEMENTWISE, Kind.ROUTING, Kind.LINEAR)
