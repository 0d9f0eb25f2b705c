"""Values that may be NaN because the model takes NaN for a missing value, which it tests for and replaces."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from onnxlrp.analysis.maybe_infinite import keeps_elements
from onnxlrp.graph.walks import made_by, mark_downstream, mark_upstream


def missing_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that is tested for NaN, what it is computed from without a layer, what else is computed from that, and the
    inputs that lead to any of it.

    The output of a softmax is left out: its own reversal knows the rows that a mask hides as a whole. `nodes` in their
    order.
    """
    order = list(nodes)
    found = {v for n in order if (v := _tested(n)) is not None and v in data}
    if not found:
        return found

    def made_of(node: ir.Node) -> list[ir.Value]:
        return [v for v in node.inputs if v is not None and v in data] if keeps_elements(node) else []

    def makes(node: ir.Node) -> list[ir.Value]:
        return [v for v in node.outputs if v in data] if node.op_type != "Where" and keeps_elements(node) else []

    mark_upstream(order, found, made_of)
    mark_downstream(order, found, makes)
    return found | _inputs(order, found, data)


def _inputs(order: list[ir.Node], found: set[ir.Value], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that no node makes, and that leads to some values: a layer's input is NaN where its output is."""
    upstream = set(found)
    mark_upstream(order, upstream, lambda node: [v for v in node.inputs if v in data])
    return {v for v in upstream if v.producer() is None}


def _tested(node: ir.Node) -> ir.Value | None:
    """The value that a node tests for NaN: by IsNaN, or by comparing it with itself."""
    compares = node.op_type == "Equal" and node.inputs[0] is node.inputs[1]
    if node.domain != "" or not (node.op_type == "IsNaN" or compares):
        return None
    value = node.inputs[0]
    return value if made_by(value, "Softmax") is None else None
