"""Decide which nodes compute every row of their output from the same row of their operands."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.memory import most_elements
from onnxlrp.operators.registry import find

_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "IsNaN", "IsInf"})
_LOGIC = frozenset({"And", "Or", "Xor", "Not", "Where", "Cast", "Identity", "Sum", "Mean", "Max", "Min"})
_ROUNDING = frozenset({"Floor", "Ceil", "Round", "Sign", "LabelEncoder"})
_ELEMENTWISE = _COMPARISONS | _LOGIC | _ROUNDING
_OVER_AN_AXIS = frozenset({"ArgMax", "ArgMin", "Softmax", "LogSoftmax", "Hardmax"})
_REDUCTIONS = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "Unsqueeze", "Squeeze"})
_OF_SHAPES = frozenset({"ConstantOfShape", "Gather", "Slice", "Concat", "Cast", "Squeeze", "Unsqueeze"})

Constant = Callable[[ir.Value | None], bool]


def same_of_all_rows(node: ir.Node, alike: Collection[ir.Value]) -> bool:
    """Decide whether a node's output depends only on the number of rows and is the same in each row: a shape whose
    other sizes are known, or a value computed from such shapes."""
    x = node.inputs[0] if node.inputs else None
    if node.domain != "" or x is None:
        return False
    if node.op_type == "Shape":
        return x.shape is not None and len(x.shape) > 0 and all(isinstance(d, int) for d in list(x.shape)[1:])
    known = all(v is None or v in alike or v.const_value is not None for v in node.inputs)
    return node.op_type in _OF_SHAPES and known and any(v in alike for v in node.inputs)


def row_by_row(node: ir.Node, rows: Collection[ir.Value], constant: Constant) -> bool:
    """Decide whether row n of the output depends on row n of the operands `rows` and on constants only."""
    if any(v.shape is None or not len(v.shape) for v in (*rows, *node.outputs)):
        return False
    entry = find(node)
    if node.op_type in _ELEMENTWISE or (entry is not None and entry.elementwise):
        return _stays_in_rows(node, rows, constant)
    x = node.inputs[0]
    if node.domain != "" or x is None or x not in rows or any(v in rows for v in node.inputs[1:]):
        return node.domain == "" and node.op_type == "Gather" and _looks_up(node, rows)
    if node.op_type in _OVER_AN_AXIS:
        attribute = node.attributes.get("axis")
        default = 0 if node.op_type.startswith("Arg") else -1
        return _own_axes(x, [default if attribute is None else attribute.as_int()])
    if node.op_type in _REDUCTIONS:
        axes = content(node.inputs[1]) if len(node.inputs) > 1 else None
        wide = node.outputs[0] if node.op_type == "Unsqueeze" else x
        return axes is not None and axes.size > 0 and _own_axes(wide, axes.reshape(-1).tolist())
    return node.op_type in ("Reshape", "Flatten") and _keeps_rows(x, node.outputs[0])


def _stays_in_rows(node: ir.Node, rows: Collection[ir.Value], constant: Constant) -> bool:
    """Decide whether broadcasting pairs each row with itself only: rows have one rank, constants one row or none."""
    ranks = {len(v.shape) for v in rows if v.shape is not None}
    if len(ranks) != 1:
        return False
    (rank,) = ranks
    for value in node.inputs:
        if value is None or value in rows:
            continue
        if not constant(value) or value.shape is None or len(value.shape) > rank:
            return False
        if len(value.shape) == rank and value.shape[0] != 1 and _only_row(value) is None:
            return False
    return True


def repeated_rows(node: ir.Node, rows: Collection[ir.Value]) -> dict[ir.Value, np.ndarray]:
    """Find the constants of a node that repeat one row for every sample of a batch of fixed size, each with that row,
    [1, …]."""
    ranks = {len(v.shape) for v in rows if v.shape is not None}
    constants = [v for v in node.inputs if v is not None and v not in rows and v.shape is not None]
    found = {v: _only_row(v) for v in constants if v.shape and len(v.shape) in ranks and v.shape[0] != 1}
    return {v: row for v, row in found.items() if row is not None}


def _only_row(value: ir.Value) -> np.ndarray | None:
    """Find the row to which all rows of a constant are equal, if only elementwise nodes read the constant; else
    None."""
    entries = [(u.node.op_type, find(u.node)) for u in value.uses()]
    if any(name not in _ELEMENTWISE and (entry is None or not entry.elementwise) for name, entry in entries):
        return None
    rows, node = content(value), value.producer()
    if rows is None and node is not None and node.op_type == "ConstantOfShape" and value.shape is not None:
        number = node.attributes.get("value")
        fill = np.zeros(1, np.float32) if number is None else number.as_tensor().numpy()
        # All rows are equal, so a single row is enough.
        sizes = [d for d in value.shape[1:] if isinstance(d, int)]
        small = value.shape.is_static() and bool(value.shape[0]) and math.prod(sizes) <= most_elements()
        rows = np.full([1, *sizes], fill[0]) if small else None
    return rows[:1] if rows is not None and len(rows) and (rows == rows[:1]).all() else None


def _looks_up(node: ir.Node, rows: Collection[ir.Value]) -> bool:
    """Decide whether a node looks up a constant table at each row's position."""
    axis = node.attributes.get("axis")
    return node.inputs[0] not in rows and node.inputs[1] in rows and (axis is None or axis.as_int() == 0)


def _own_axes(value: ir.Value, axes: list[int]) -> bool:
    rank = 0 if value.shape is None else len(value.shape)
    return rank > 0 and all(axis % rank for axis in axes)


def _keeps_rows(x: ir.Value, y: ir.Value) -> bool:
    """Decide whether a reshape leaves the same number of elements in each row."""
    sizes = [list(v.shape or ())[1:] for v in (x, y)]
    counts = {math.prod(d for d in dims if isinstance(d, int)) for dims in sizes}
    return all(isinstance(d, int) for dims in sizes for d in dims) and len(counts) == 1
