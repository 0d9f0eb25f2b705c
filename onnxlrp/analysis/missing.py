"""Values that may be NaN because the model tests for NaN and replaces it: there NaN means a missing value.

An Imputer replaces NaN as well. Its operand counts only where the model itself computes NaN there, as the logarithm of
a negative number: the columns of a table pass their relevance through an Imputer, missing or not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import onnx_ir as ir

from onnxlrp.analysis.maybe_infinite import keeps_elements
from onnxlrp.graph.walks import made_by, mark_downstream, mark_upstream, upstream

_PARTIAL = frozenset({"Acos", "Acosh", "Asin", "Atanh", "Log", "Pow", "Sqrt"})
"""Functions that are no number for some numbers."""


def missing_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Return the data that may be NaN for a missing value; `nodes` are in topological order.

    These are the values that are tested for NaN or imputed, the data upstream of them up to a layer, the data
    downstream of all these up to a layer or Where, and the inputs that lead to any of them. The output of a softmax
    does not count: its own reversal handles rows that a mask hides completely.
    """
    order = list(nodes)
    tests = (_tested(n) or _imputed(n, data) for n in order)
    found = {v for v in tests if v is not None and v in data}
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
    """Return the inputs among `data` that lead to a value of `found`, also through layers, because a layer passes a NaN
    on."""
    upstream = set(found)
    mark_upstream(order, upstream, lambda node: [v for v in node.inputs if v in data])
    return {v for v in upstream if v.producer() is None}


def _tested(node: ir.Node) -> ir.Value | None:
    """Return the value that a node tests for NaN, by IsNaN or by a comparison with itself; None for other nodes."""
    compares = node.op_type == "Equal" and node.inputs[0] is node.inputs[1]
    if node.domain != "" or not (node.op_type == "IsNaN" or compares):
        return None
    value = node.inputs[0]
    return value if made_by(value, "Softmax") is None else None


def _imputed(node: ir.Node, data: Collection[ir.Value]) -> ir.Value | None:
    """Return the operand of an Imputer that replaces NaN, if the data that it is computed from may turn into NaN."""
    if node.domain != "ai.onnx.ml" or node.op_type != "Imputer" or node.inputs[0] is None:
        return None

    def made_of(node: ir.Node) -> list[ir.Value]:
        return [v for v in node.inputs if v is not None and v in data]

    partial = any(n.op_type in _PARTIAL and made_of(n) for n in upstream([node.inputs[0]], made_of))
    return node.inputs[0] if partial else None
