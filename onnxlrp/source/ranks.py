"""Find the rank of an If's output when its branches have different ranks.

Exporters write `squeeze` as an If whose branches differ in rank, or as a Squeeze of all axes of size 1, and onnx's
inference gives up. But known ranks and sizes may decide which branch is taken; and if a convolution or a recurrent
layer follows, or an output whose rank is declared, only one rank is possible.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator

from onnxlrp.graph.call import content
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import find

_DEPTH = 12
"""Number of nodes to look ahead."""
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})
_OF_SIZES = frozenset({"Gather", "Squeeze", "Unsqueeze", "Slice", "Concat", "Cast", "Identity", "Size"}) | frozenset(
    {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not", "And", "Or", "Add", "Sub"}
)
"""Operators that conditions compute from sizes."""


def demanded_rank(value: ir.Value, depth: int = _DEPTH) -> int | None:
    """Find the rank that a consumer in the same graph needs; None if none needs one. Other graphs do not count, because
    a branch may never be taken."""
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
    if node.op_type == "Concat" or (operand == 0 and node.op_type in ("Cast", "Identity", "Dropout", "Slice")):
        return after
    others = [v for i, v in enumerate(node.inputs) if v is not None and i != operand]
    narrower = all(v.shape is not None and len(v.shape) < after for v in others)
    return after if entry is not None and entry.elementwise and narrower else None


def decided(condition: ir.Value | None) -> bool | None:
    """Decide a condition from ranks and known sizes; None if they do not decide it."""
    found = None if condition is None else _of_sizes(condition)
    return None if found is None else bool(np.all(found))


def _of_sizes(value: ir.Value, depth: int = _DEPTH) -> np.ndarray | None:
    """Compute a value that follows from constants, ranks and known sizes alone; None for other values."""
    known, node = content(value), value.producer()
    if known is not None or node is None or node.domain != "" or depth == 0:
        return known
    if node.op_type == "Shape":
        dims = _dims(node.inputs[0])
        sizes = None if dims is None else dims[node.attributes.get_int("start", 0) : node.attributes.get_int("end")]
        return None if sizes is None or not all(isinstance(d, int) for d in sizes) else np.array(sizes, np.int64)
    if node.op_type not in _OF_SIZES:
        return None
    operands = {}
    for operand in node.inputs:
        if operand is not None:
            found = _of_sizes(operand, depth - 1)
            if found is None:
                return None
            operands[str(operand.name)] = found
    try:
        (made,) = ReferenceEvaluator(ir.to_proto(node)).run(None, operands)
    except Exception:  # a branch that is never taken may ask for the third size of a matrix
        return None
    return np.asarray(made)


def _dims(value: ir.Value | None) -> list[int | ir.SymbolicDim] | None:
    """Find the sizes of a value; for the output of a Shape, the rank of its operand, even if inference did not know the
    rank yet."""
    maker = None if value is None else value.producer()
    if maker is not None and maker.op_type == "Shape" and not maker.attributes.get_int("start", 0):
        whole = maker.inputs[0]
        if "end" not in maker.attributes and whole is not None and whole.shape is not None:
            return [len(whole.shape)]
    return None if value is None or value.shape is None else list(value.shape)
