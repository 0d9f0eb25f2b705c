"""Axis of a series [N, ., .] that holds time, told by what the model does with it: convolutions slide along time, and
recurrent layers step through it."""

from __future__ import annotations

import collections

import onnx_ir as ir

from onnxlrp.graph.call import content

_SLIDES = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})
_STEPS = frozenset({"LSTM", "GRU", "RNN"})
_KEEPS = frozenset(
    {"Cast", "Identity", "Dropout", "Add", "Sub", "Mul", "Div", "Pad", "BatchNormalization", "Relu", "Clip"}
)
"""Operators whose output has the axes of their first operand of that rank."""
_MOST = 64
"""Most values that are looked at."""

Axes = tuple[int | None, ...]
"""Axis of the series that each axis of a value comes from; None for one that was added."""


def time_axis_of(series: ir.Value) -> int | None:
    """Find the axis of time of an input of rank 3, 1 or 2; None if no layer close downstream tells."""
    if series.shape is None or len(series.shape) != 3:
        return None
    waiting: collections.deque[tuple[ir.Value, Axes]] = collections.deque([(series, (0, 1, 2))])
    seen = {series}
    while waiting and len(seen) < _MOST:
        value, axes = waiting.popleft()
        for node, index in value.uses():
            axis = _told_by(node, index, axes)
            if axis is not None:
                return axis
            moved = _moved(node, axes)
            for output in node.outputs[:1]:
                if moved is not None and output not in seen:
                    seen.add(output)
                    waiting.append((output, moved))
    return None


def _told_by(node: ir.Node, index: int, axes: Axes) -> int | None:
    """Read the axis of time off a layer that slides or steps along it."""
    if node.domain != "" or index != 0:
        return None
    if node.op_type in _STEPS:
        layout = node.attributes.get("layout")
        return axes[1 if layout is not None and layout.as_int() == 1 else 0] or None
    along = [axis for axis in axes[2:] if axis] if node.op_type in _SLIDES else []
    return along[0] if len(along) == 1 else None


def _moved(node: ir.Node, axes: Axes) -> Axes | None:
    """Follow the axes through a node that only moves them; None if it does more."""
    if node.domain != "":
        return None
    if node.op_type in _KEEPS:
        output = node.outputs[0]
        return axes if output.shape is not None and len(output.shape) == len(axes) else None
    if node.op_type == "Transpose":
        order = node.attributes.get("perm")
        moved = range(len(axes))[::-1] if order is None else order.as_ints()
        return tuple(axes[axis] for axis in moved)
    if node.op_type in ("Unsqueeze", "Squeeze"):
        places = content(node.inputs[1]) if len(node.inputs) > 1 and node.inputs[1] is not None else None
        return None if places is None else _stretched(axes, [int(p) for p in places.ravel()], node.op_type)
    return None


def _stretched(axes: Axes, places: list[int], operator: str) -> Axes | None:
    """Add or remove axes of length 1."""
    rank = len(axes) + len(places) if operator == "Unsqueeze" else len(axes)
    where = {place % rank for place in places}
    if operator == "Squeeze":
        return tuple(axis for place, axis in enumerate(axes) if place not in where)
    left = iter(axes)
    return tuple(None if place in where else next(left) for place in range(rank))
