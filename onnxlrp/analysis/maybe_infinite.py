"""Values that may be infinite: scores that a mask hides, on their way to a softmax, and what is padded for a maximum.

Masks are −∞ as they stand, or two of a type's lowest number that were added up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.operators.registry import Kind, find
from onnxlrp.operators.softmax import may_hide_rows

_PUTS = frozenset({"Pad", "Where", "Add", "Min", "ScatterND", "ScatterElements"})
"""Operators that put a constant beside data, or in its place."""


def maybe_infinite_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that a softmax or its logarithmic sum is taken of, and that from which it was made element by element; data
    with an infinite constant, and what was made of it element by element. `nodes` in their order."""
    found: set[ir.Value] = set()
    for node in reversed(ordered := list(nodes)):
        if node.op_type in ("Softmax", "ReduceLogSumExp") or (any(v in found for v in node.outputs) and _keeps(node)):
            found.update(v for v in node.inputs if v is not None and v in data)
    marked: set[ir.Value] = set()
    for node in ordered:
        if _puts_infinity(node) or (any(v in marked for v in node.inputs) and _keeps(node)):
            marked.update(v for v in node.outputs if v in data)
    return found | marked


def hidden_rows(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Outputs of softmaxes that are NaN in rows that a mask hides whole by −∞, and casts of them."""
    found: set[ir.Value] = set()
    for node in nodes:
        value = node.inputs[0] if node.inputs else None
        masked = node.op_type == "Softmax" and value in data and value is not None and may_hide_rows(value)
        if masked or (node.op_type in ("Cast", "Identity") and value in found):
            found.add(node.outputs[0])
    return found


def _keeps(node: ir.Node) -> bool:
    """Whether an infinity among the operands is one, or that of another element, in the result."""
    entry = find(node)
    return entry is not None and entry.layer is None and entry.kind in (Kind.ELEMENTWISE, Kind.ROUTING, Kind.LINEAR)


def _puts_infinity(node: ir.Node) -> bool:
    """Decide whether a node has an operand that is a constant with an infinite element."""
    return node.domain == "" and node.op_type in _PUTS and any(map(_is_infinite, node.inputs))


def _is_infinite(value: ir.Value | None) -> bool:
    known = content(value)
    return known is not None and known.dtype.kind == "f" and bool(np.isinf(known).any())
