"""Values that may be infinite: masked scores upstream of a softmax, and values that are padded with −∞ for a maximum.

A mask hides by −∞ itself, or by the lowest number of the type, two of which overflow when they are added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.graph.walks import mark_downstream, mark_upstream
from onnxlrp.operators.registry import Kind, find
from onnxlrp.operators.softmax import may_hide_rows

_PUTS = frozenset({"Pad", "Where", "Add", "Min", "ScatterND", "ScatterElements"})
"""Operators that place a constant beside data or instead of it."""


def maybe_infinite_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Return the data that may be infinite; `nodes` are in topological order.

    These are the operands of Softmax and ReduceLogSumExp with the data upstream of them, and the data in which an
    infinite constant is placed with the data downstream of it, as far as nodes keep an infinity.
    """
    ordered = list(nodes)
    hides = [n for n in ordered if n.op_type in ("Softmax", "ReduceLogSumExp")]
    found = {v for n in hides for v in n.inputs if v is not None and v in data}
    mark_upstream(ordered, found, lambda n: [v for v in n.inputs if v in data] if keeps_elements(n) else [])
    marked = {v for n in ordered if _puts_infinity(n) for v in n.outputs if v in data}
    mark_downstream(ordered, marked, lambda n: [v for v in n.outputs if v in data] if keeps_elements(n) else [])
    return found | marked


def hidden_rows(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Return softmax outputs, and casts of them, that are NaN in rows that a mask of −∞ hides completely."""
    hidden: set[ir.Value] = set()
    for node in nodes:
        value = node.inputs[0] if node.inputs else None
        masked = node.op_type == "Softmax" and value in data and value is not None and may_hide_rows(value)
        if masked or (node.op_type in ("Cast", "Identity") and value in hidden):
            hidden.add(node.outputs[0])
    return hidden


def keeps_elements(node: ir.Node) -> bool:
    """Decide whether an infinity in an operand can show as one in the result, at the same element or another."""
    entry = find(node)
    return entry is not None and entry.layer is None and entry.kind in (Kind.ELEMENTWISE, Kind.ROUTING, Kind.LINEAR)


def _puts_infinity(node: ir.Node) -> bool:
    """Decide whether a node places a constant with an infinite element among data."""
    return node.domain == "" and node.op_type in _PUTS and any(map(_is_infinite, node.inputs))


def _is_infinite(value: ir.Value | None) -> bool:
    known = content(value)
    return known is not None and known.dtype.kind == "f" and bool(np.isinf(known).any())
