"""Values that may be infinite: scores that a mask hides, on their way to a softmax, and what is padded for a maximum.

Masks are −∞ as they stand, or two of a type's lowest number that were added up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import onnx_ir as ir

from onnxlrp.operators.registry import Call, Kind, content, find


def infinite_values(nodes: Iterable[ir.Node], data: Collection[ir.Value]) -> set[ir.Value]:
    """Data that a softmax is taken of, and that from which it was made element by element; data with an infinite edge.
    `nodes` in their order."""
    found: set[ir.Value] = set()
    for node in reversed(list(nodes)):
        if node.op_type == "Softmax" or (any(v in found for v in node.outputs) and _keeps(node)):
            found.update(v for v in node.inputs if v is not None and v in data)
        if node.op_type == "Pad" and _infinite(node):
            found.update(node.outputs)
    return found


def _keeps(node: ir.Node) -> bool:
    """Whether an infinity among the operands is one, or that of another element, in the result."""
    entry = find(node)
    return entry is not None and entry.layer is None and entry.kind in (Kind.PASS, Kind.ROUTING, Kind.LINEAR)


def _infinite(pad: ir.Node) -> bool:
    edge = content(Call.of(pad).input(2))
    return edge is not None and edge.dtype.kind == "f" and bool(np.isinf(edge).any())
