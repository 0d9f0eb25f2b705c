"""The rank that a value must have because of what reads it.

Exporters write `squeeze` as an If whose branches differ in rank, and inference gives up; but where a convolution or a
recurrent layer follows, only one rank can be meant.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import content, find

_DEPTH = 12
"""How many nodes to look ahead."""
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


def demanded_rank(value: ir.Value, depth: int = _DEPTH) -> int | None:
    """The rank that a consumer in the same graph asks for, None where none does: a branch may never be taken."""
    producer = value.producer()
    if depth == 0 or producer is None:
        return None
    for use in value.uses():
        rank = _asked_by(use.node, use.idx, depth) if use.node.graph is producer.graph else None
        if rank is not None:
            return rank
    return None


def _asked_by(node: ir.Node, operand: int, depth: int) -> int | None:
    if node.domain != "":
        return None
    if node.op_type in ("Conv", "ConvTranspose") and operand == 0:
        weight = node.inputs[1]
        return None if weight is None or weight.shape is None else len(weight.shape)
    if node.op_type in _RECURRENT and operand in (0, 5, 6):
        return 3
    perm = node.attributes.get("perm")
    if node.op_type == "Transpose" and perm is not None:
        return len(perm.as_ints())
    if node.op_type == "Concat":
        known = [len(v.shape) for v in node.inputs if v is not None and v.shape is not None]
        if known:
            return known[0]
    out = node.outputs[0]
    after = len(out.shape) if out.shape is not None else demanded_rank(out, depth - 1)
    if after is None or bodies(node):
        return None
    entry = find(node)
    if node.op_type in ("Unsqueeze", "Squeeze") and operand == 0:
        axes = content(node.inputs[1]) if len(node.inputs) > 1 else None
        if axes is None:
            return None
        return after - axes.size if node.op_type == "Unsqueeze" else after + axes.size
    same = node.op_type in ("Cast", "Identity", "Dropout") or (entry is not None and entry.elementwise)
    return after if same and len(node.inputs) == 1 else None
