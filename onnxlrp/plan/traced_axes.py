"""Trace the axes of an inner value to those of an input, where every element keeps its place in the picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.registry import find

_WINDOWS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_KEEPS_AXES = frozenset(
    {
        "BatchNormalization",
        "Concat",
        "DequantizeLinear",
        "Dropout",
        "GroupNormalization",
        "Identity",
        "InstanceNormalization",
        "LRN",
        "LayerNormalization",
        "Pad",
        "QuantizeLinear",
        "Resize",
        "Slice",
    }
)
"""Operators that are not elementwise, and yet keep every axis of their first operand."""

_WHOLE = frozenset({"GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"})
"""Pools over whole pictures: they keep samples and channels, and no place."""

AxisOrder = tuple[int | None, ...]
"""An axis of another value for each axis of a value, None for an axis that it has not."""


@dataclasses.dataclass(frozen=True)
class Traced:
    """The axes of an inner value, followed upstream."""

    picture: AxisOrder
    """The axes of the first convolution or pool upstream, which come in the order batch, channels, space."""
    input: AxisOrder
    """The axes of the input."""


def trace_axes(value: ir.Value, source: ir.Value) -> Traced | None:
    """Follow the axes of a value upstream to an input; None where no way keeps them, or none leads through a
    convolution or pool."""
    if value.shape is None:
        return None
    waiting: list[tuple[ir.Value, AxisOrder, AxisOrder | None]] = [(value, tuple(range(len(value.shape))), None)]
    seen: set[ir.Value] = set()
    while waiting:
        value, axes, picture = waiting.pop()
        if value is source and picture is not None:
            return Traced(picture, axes)
        node = value.producer()
        if node is None or value in seen:
            continue
        seen.add(value)
        picture = axes if picture is None and _slides(node) else picture
        ways = [(operand, _composed(axes, order), picture) for operand, order in _operands(node, value)]
        waiting += reversed(ways)
    return None


def picture_axes(value: ir.Value) -> AxisOrder | None:
    """Find the axes of the nearest convolution or pool upstream, in the order batch, channels, space, for each axis of
    a value; None where none lies upstream by a way that keeps them."""
    if value.shape is None:
        return None
    waiting: list[tuple[ir.Value, AxisOrder]] = [(value, tuple(range(len(value.shape))))]
    seen: set[ir.Value] = set()
    while waiting:
        value, axes = waiting.pop()
        node = value.producer()
        if node is None or value in seen:
            continue
        if _slides(node) or (node.domain == "" and node.op_type in _WHOLE):
            return axes
        seen.add(value)
        ways = [(operand, _composed(axes, order)) for operand, order in (*_operands(node, value), *_reduced(node))]
        waiting += reversed(ways)
    return None


def _reduced(node: ir.Node) -> Iterator[tuple[ir.Value, AxisOrder]]:
    """Yield the operand of a mean or a maximum that keeps its axes, as pools over whole pictures are written."""
    first, out = node.inputs[0] if node.inputs else None, node.outputs[0]
    reduces = node.domain == "" and node.op_type in ("ReduceMean", "ReduceMax")
    if reduces and first is not None and first.shape is not None and out.shape is not None:
        rank = len(first.shape)
        if rank == len(out.shape):
            yield first, tuple(range(rank))


def _slides(node: ir.Node) -> bool:
    """Decide whether a node runs a window over the spatial axes of its first operand."""
    entry = find(node)
    convolves = entry is not None and entry.layer is not None and entry.layer.kind == "convolution"
    return convolves or (node.domain == "" and node.op_type in _WINDOWS)


def _composed(axes: AxisOrder, order: AxisOrder) -> AxisOrder:
    return tuple(None if axis is None else order[axis] for axis in axes)


def _operands(node: ir.Node, value: ir.Value) -> Iterator[tuple[ir.Value, AxisOrder]]:
    """Yield the operands whose axes a node's output has, each with its axis for each axis of the output."""
    call, first = Call.of(node), node.inputs[0] if node.inputs else None
    if value.shape is None or first is None or first.shape is None:
        return
    rank, entry = len(value.shape), find(node)
    same = tuple(range(rank))
    if _slides(node) or (node.domain == "" and node.op_type in _KEEPS_AXES):
        several = node.inputs if node.op_type == "Concat" else [first]
        yield from ((v, same) for v in several if v is not None)
    elif entry is not None and entry.elementwise:
        alike = [v for v in node.inputs if v is not None and v.shape is not None and len(v.shape) == rank]
        yield from ((v, same) for v in sorted(alike, key=lambda v: v.shape != value.shape))
    elif node.domain == "" and node.op_type == "Transpose":
        yield first, tuple(call.ints("perm", same[::-1]))
    elif node.domain == "" and node.op_type in ("Unsqueeze", "Squeeze"):
        added = _named_axes(call, rank, len(first.shape))
        if added is not None:
            yield first, added


def _named_axes(call: Call, rank: int, before: int) -> AxisOrder | None:
    """Return the operand's axis for each axis of the output of Unsqueeze or Squeeze; None where it is computed."""
    axes = content(call.input(1))
    if axes is None:
        return None
    longer = max(rank, before)
    named = {int(axis) % longer for axis in axes.ravel()}
    others = [axis for axis in range(longer) if axis not in named]
    if call.op_type == "Squeeze":
        return tuple(others)
    return tuple(others.index(axis) if axis in others else None for axis in range(rank))
