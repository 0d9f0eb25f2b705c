"""Restrict the way back of a product x·W to the output columns that relevance arrives at.

Queries, keys and values are often one product, and under a rule that takes attention's weights for constants relevance
arrives at the values alone: two thirds of the product's way back would be done on zeros.
"""

from __future__ import annotations

import dataclasses
import itertools

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Relevance, routed
from onnxlrp.graph.call import Call, content
from onnxlrp.plan import Step


def narrowed(context: Context, step: Step, arrived: Relevance) -> tuple[Step, Relevance]:
    """The step on those columns alone, and its relevance; as they are where all have relevance, or any may."""
    layer, rule = step.layer, step.rule
    if layer is None or rule is None or rule.relative or not _is_product(layer):
        return step, arrived
    z, width = layer.z, _size(layer.z, -1)
    reached = None if width is None else _reached(context, z, _Axis(len(z.shape or ()) - 1, width, 1))
    if reached is None or len(reached) == width:
        return step, arrived
    narrow = _narrow(context, layer, reached)
    step = dataclasses.replace(step, layer=narrow, call=narrow.call, outputs=(narrow.z,))
    return step, routed(context, [arrived], narrow.z, lambda r: _cut(context, r[0], reached, -1))


def _is_product(layer: Layer) -> bool:
    """Decide whether it is `x·W` with columns along its output's last axis."""
    call = layer.call
    return (call.domain, layer.data) == ("", 0) and call.op_type in ("MatMul", "Gemm") and len(layer.w.shape or ()) == 2


def _narrow(context: Context, layer: Layer, columns: range) -> Layer:
    w = _cut(context, layer.w, columns, 0 if layer.call.attr("transB", 0) else 1)
    z = _cut(context, layer.z, columns, -1)
    bias = layer.bias
    if bias is not None and _size(bias, -1) != 1:
        bias = _cut(context, bias, columns, -1)
    call = dataclasses.replace(layer.call.rebind({layer.weight: w}), outputs=(z,))
    return dataclasses.replace(layer, call=call, bias=bias, add=None)


def _cut(context: Context, value: ir.Value | None, columns: range, axis: int) -> ir.Value:
    op = context.op
    return op.Slice(value, op.ints([columns.start]), op.ints([columns.stop]), op.ints([axis]))


@dataclasses.dataclass(frozen=True)
class _Axis:
    """The axis of a value that counts the columns, `size` blocks of `width` each."""

    at: int
    size: int
    width: int


def _reached(context: Context, value: ir.Value, axis: _Axis) -> range | None:
    """From the first to the last column that has relevance; None where any may."""
    found: list[range] = []
    waiting = [(value, axis)]
    while waiting:
        value, axis = waiting.pop()
        for step in context.senders[value]:
            if step is None or step.call.domain != "":
                return None
            pieces, moved = _taken(step.call, axis), _moved(step.call, axis)
            if pieces is not None:
                found += [range(b.start * axis.width, b.stop * axis.width) for v, b in pieces if v in context.senders]
            elif moved is not None:
                waiting.append((step.outputs[0], moved))
            else:
                return None
    return range(min(r.start for r in found), max(r.stop for r in found)) if found else None


def _taken(call: Call, axis: _Axis) -> list[tuple[ir.Value, range]] | None:
    """List what comes out of a node that takes a value apart along the axis, and its blocks; None for any other."""
    if call.op_type not in ("Split", "Gather", "Slice"):
        return None
    rank = call.rank()
    along = int(call.attr("axis", 0)) % rank
    if call.op_type == "Split" and along == axis.at:
        sizes = [_size(v, axis.at) for v in call.outputs]
        ends = [0, *itertools.accumulate(size or 0 for size in sizes)]
        return None if None in sizes else [(v, range(*ends[i : i + 2])) for i, v in enumerate(call.outputs)]
    if call.op_type == "Gather" and along == axis.at:
        places = content(call.input(1))
        if places is None or not places.size:
            return None
        places = places % axis.size
        return [(call.outputs[0], range(int(places.min()), int(places.max()) + 1))]
    if call.op_type == "Slice":
        starts, stops, axes, steps = (content(call.input(i)) for i in range(1, 5))
        if starts is None or stops is None or axes is None or (call.input(4) is not None and steps is None):
            return None
        if [int(a) % rank for a in axes] != [axis.at]:
            return None
        step = 1 if steps is None else int(steps.item())
        kept = range(axis.size)[int(starts.item()) : int(stops.item()) : step]
        return [(call.outputs[0], range(min(kept), max(kept) + 1))] if kept else None
    return None


def _moved(call: Call, axis: _Axis) -> _Axis | None:
    """Find the axis in the output of a node that only moves values; None where it is no longer there."""
    if call.op_type in ("Identity", "Cast"):
        return axis
    if call.op_type not in ("Transpose", "Squeeze", "Unsqueeze", "Reshape"):
        return None
    rank, out = call.rank(), call.outputs[0].shape
    if call.op_type == "Transpose":
        order = call.ints("perm", list(range(rank))[::-1])
        return dataclasses.replace(axis, at=order.index(axis.at))
    axes = content(call.input(1))
    if call.op_type == "Squeeze" and axes is not None:
        gone = {int(a) % rank for a in axes.reshape(-1)}
        return None if axis.at in gone else dataclasses.replace(axis, at=axis.at - sum(a < axis.at for a in gone))
    if call.op_type == "Unsqueeze" and axes is not None:
        new = {int(a) % (rank + axes.size) for a in axes.reshape(-1)}
        return dataclasses.replace(axis, at=[a for a in range(rank + axes.size) if a not in new][axis.at])
    if call.op_type == "Reshape" and axis.at == rank - 1 and out is not None:
        width = 1
        for at in reversed(range(len(out))):
            size = out[at]
            if not isinstance(size, int):
                return None
            if width * size == axis.size:
                return _Axis(at, size, width * axis.width)
            width *= size
    return None


def _size(value: ir.Value, axis: int) -> int | None:
    size = None if not value.shape else value.shape[axis]
    return size if isinstance(size, int) else None
