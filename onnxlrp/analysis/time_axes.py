"""Axis of a series [N, ., .] that holds time, told by what the model does with it: convolutions slide along time, and
recurrent layers step through it."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.analysis.followed_axes import Axes, readers_with_axes

_SLIDES = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})
_STEPS = frozenset({"LSTM", "GRU", "RNN"})


def time_axis_of(series: ir.Value) -> int | None:
    """Find the axis of time of an input of rank 3, 1 or 2; None if no layer close downstream tells."""
    if series.shape is None or len(series.shape) != 3:
        return None
    told = (_told_by(node, index, axes) for node, index, axes in readers_with_axes(series))
    return next((axis for axis in told if axis is not None), None)


def _told_by(node: ir.Node, index: int, axes: Axes) -> int | None:
    """Read the axis of time off a layer that slides or steps along it."""
    if node.domain != "" or index != 0:
        return None
    if node.op_type in _STEPS:
        layout = node.attributes.get("layout")
        return axes[1 if layout is not None and layout.as_int() == 1 else 0] or None
    along = [axis for axis in axes[2:] if axis] if node.op_type in _SLIDES else []
    return along[0] if len(along) == 1 else None
