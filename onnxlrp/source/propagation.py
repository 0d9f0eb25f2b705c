"""Estimate how many sizes onnx's inference would keep with data propagation; it takes some 40 bytes for each.

Inference with data propagation keeps the content of vectors that shapes are computed from. A vector that a file joins
to itself thirty times has a thousand million elements, so the lengths are added up first.
"""

from __future__ import annotations

import onnx_ir as ir

_MOST = 1 << 20
"""Largest number of elements of all vectors that hold sizes together; a real vector has as many as a tensor has
axes."""
_SAME = frozenset({"Add", "Cast", "Gather", "Identity", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze"})
"""Operators whose output is at most as long as their longest operand."""
_INTEGERS = frozenset({ir.DataType.INT64, ir.DataType.INT32})


def is_small(model: ir.Model) -> bool:
    """Decide whether data propagation would keep only a few sizes of the model."""
    lengths: dict[ir.Value, int] = {}
    total = 0
    for node in model.graph.all_nodes():
        length = _length(node, lengths)
        if length:
            total += length
            lengths.update(dict.fromkeys(node.outputs, length))
        if total > _MOST:
            return False
    return True


def _length(node: ir.Node, lengths: dict[ir.Value, int]) -> int:
    """Find the length of the vector of sizes that a node computes; 0 if it computes none."""
    if node.domain != "" or not (node.op_type == "Concat" or node.op_type in _SAME):
        return 0
    known = [_own(v) or lengths.get(v, 0) for v in node.inputs if v is not None]
    return sum(known) if node.op_type == "Concat" else max(known, default=0)


def _own(value: ir.Value) -> int:
    """Find the length of a constant vector of integers, or of a shape; 0 for other values."""
    tensor, node = value.const_value, value.producer()
    if tensor is not None:
        return int(tensor.size) if tensor.dtype in _INTEGERS and len(tensor.shape) < 2 else 0
    read = node.inputs[0] if node is not None and node.op_type == "Shape" else None
    return 0 if read is None else len(read.shape or ())
