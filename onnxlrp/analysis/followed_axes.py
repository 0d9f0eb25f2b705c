"""Axes of an input, followed downstream through nodes that only move them, to the first layers that read it."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.graph.call import content

_KEEPS = frozenset(
    {
        "Add",
        "BatchNormalization",
        "Cast",
        "Clip",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Identity",
        "Mul",
        "Pad",
        "QuantizeLinear",
        "Relu",
        "Sub",
    }
)
"""Operators whose output has the axes of their first operand of that rank."""
_MOST = 64
"""Most values that are looked at."""

Axes = tuple[int | None, ...]
"""Axis of the input that each axis of a value comes from; None for one that was added."""


def readers_with_axes(value: ir.Value) -> Iterator[tuple[ir.Node, int, Axes]]:
    """Yield each node that reads an input, or a value with the input's axes, nearest first: the node, the number of the
    operand, and the operand's axes. Nothing is yielded for an input of unknown rank."""
    if value.shape is None:
        return
    waiting: collections.deque[tuple[ir.Value, Axes]] = collections.deque([(value, tuple(range(len(value.shape))))])
    seen = {value}
    while waiting and len(seen) < _MOST:
        value, axes = waiting.popleft()
        for node, index in value.uses():
            yield node, index, axes
            moved = _moved(node, axes)
            for output in node.outputs[:1]:
                if moved is not None and output not in seen:
                    seen.add(output)
                    waiting.append((output, moved))


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
