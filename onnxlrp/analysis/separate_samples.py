"""Decide whether a model computes each sample of its outputs from the same sample of its inputs alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.walks import read_by
from onnxlrp.operators.registry import find
from onnxlrp.source.canonical.row_wise import row_by_row


def are_separate(nodes: Iterable[ir.Node], inputs: Collection[ir.Value], outputs: Iterable[ir.Value]) -> bool:
    """Decide whether sample n of `outputs` provably depends on sample n of `inputs` only, along axis 0 of all.

    `nodes` compute the outputs, in the graph's order. False where it cannot be proved.
    """
    rows, sizes, other = set(inputs), set[ir.Value](), set[ir.Value]()

    def is_constant(value: ir.Value | None) -> bool:
        return value is None or not (value in rows or value in sizes or value in other)

    for node in nodes:
        read = [value for value in read_by(node) if not is_constant(value)]
        if not read:
            continue
        if _repeats_a_row(node, sizes) or _keeps_samples(node, rows, sizes, is_constant):
            rows.update(node.outputs)
        elif all(value in sizes for value in read) or (_is(node, "Shape") and read[0] in rows):
            sizes.update(node.outputs)
        else:
            other.update(node.outputs)
    return all(value in rows for value in outputs)


def _is(node: ir.Node, op_type: str) -> bool:
    return node.domain == "" and node.op_type == op_type


def _repeats_a_row(node: ir.Node, sizes: Collection[ir.Value]) -> bool:
    """Decide whether a node repeats a constant row for every sample."""
    if not _is(node, "Expand") or node.inputs[1] not in sizes or node.inputs[0] in sizes:
        return False
    row, result = (None if value is None else value.shape for value in (node.inputs[0], node.outputs[0]))
    return row is not None and _is_open(result) and (len(row) < len(result or ()) or row[0] == 1)


def _keeps_samples(
    node: ir.Node,
    rows: Collection[ir.Value],
    sizes: Collection[ir.Value],
    is_constant: Callable[[ir.Value | None], bool],
) -> bool:
    """Decide whether each sample of a node's outputs depends on the same sample of its operands."""
    read = [value for value in node.inputs if value is not None and value in rows]
    others = [value for value in read_by(node) if value not in rows and not is_constant(value)]
    first = node.inputs[0] if node.inputs else None
    if first is None or not read or any(value not in sizes or not _is(node, "Reshape") for value in others):
        return False
    if not all(_is_open(value.shape) for value in node.outputs if value.name):
        return False
    if row_by_row(node, read, is_constant):
        return True
    entry = find(node)
    if entry is not None and entry.layer is not None and entry.layer.kind == "convolution":
        return first in rows and len(read) == 1
    keeps = _KEEPS.get(node.op_type) if node.domain == "" else None
    return keeps is not None and first in rows and keeps(Call.of(node), rows)


def _is_open(shape: ir.Shape | None) -> bool:
    """Decide whether axis 0 of a shape is of any size."""
    return shape is not None and len(shape) > 0 and not isinstance(shape[0], int)


def _always(call: Call, rows: Collection[ir.Value]) -> bool:
    return sum(value in rows for value in call.inputs) == 1


def _batch_norm(call: Call, rows: Collection[ir.Value]) -> bool:
    return _always(call, rows) and call.attr("training_mode", 0) == 0


def _other_axis(default: int) -> Callable[[Call, Collection[ir.Value]], bool]:
    """Make a function that decides whether a node's attribute `axis` is another axis than that of the samples."""

    def is_other(call: Call, rows: Collection[ir.Value]) -> bool:
        return _always(call, rows) and call.attr("axis", default) % _rank(call) != 0

    return is_other


def _concat(call: Call, rows: Collection[ir.Value]) -> bool:
    return all(value in rows for value in call.inputs) and call.attr("axis", 0) % _rank(call) != 0


def _transpose(call: Call, rows: Collection[ir.Value]) -> bool:
    order = call.ints("perm", tuple(range(_rank(call)))[::-1])
    return order[0] == 0


def _slice(call: Call, rows: Collection[ir.Value]) -> bool:
    axes = content(call.input(3))
    return _always(call, rows) and axes is not None and all(int(axis) % _rank(call) for axis in axes.ravel())


def _pad(call: Call, rows: Collection[ir.Value]) -> bool:
    pads, rank = content(call.input(1)), _rank(call)
    return _always(call, rows) and call.input(3) is None and pads is not None and not pads[0] and not pads[rank]


def _matmul(call: Call, rows: Collection[ir.Value]) -> bool:
    """Decide whether the product is one with a constant matrix, or one of matrices of the same sample."""
    rank, other = _rank(call), call.operand(1)
    if other.shape is None:
        return False
    return rank == len(other.shape) > 2 if other in rows else rank > 1 and len(other.shape) <= 2


def _reshape(call: Call, rows: Collection[ir.Value]) -> bool:
    """Decide whether axis 0 stays as it is, by its name: then each sample keeps its elements too."""
    first, result = call.operand(0).shape, call.outputs[0].shape
    sizes = (first[0], result[0]) if first and result else (None, None)
    names = [size.value for size in sizes if isinstance(size, ir.SymbolicDim)]
    return _always(call, rows) and len(names) == 2 and names[0] is not None and names[0] == names[1]


def _gemm(call: Call, rows: Collection[ir.Value]) -> bool:
    bias = call.input(2)
    one_row = bias is None or (bias.shape is not None and (len(bias.shape) < 2 or bias.shape[0] == 1))
    return _always(call, rows) and not call.attr("transA", 0) and one_row


def _rank(call: Call) -> int:
    return len(call.operand(0).shape or ()) or 1


_KEEPS: Mapping[str, Callable[[Call, Collection[ir.Value]], bool]] = {
    **dict.fromkeys(
        ("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool"), _always
    ),
    **dict.fromkeys(("Dropout", "GroupNormalization", "InstanceNormalization", "LRN"), _always),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), _other_axis(1)),
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Gather": _other_axis(0),
    "Gemm": _gemm,
    "LayerNormalization": _other_axis(-1),
    "MatMul": _matmul,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _other_axis(0),
    "Transpose": _transpose,
}
"""Operators of which the samples of operand 0 stay apart, each with a function that decides it for a call."""
