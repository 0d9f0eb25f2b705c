"""Follow the axes of an input downstream: for every axis of a value, the axes of the input that its places stand for.

All sizes are numbers here, see `plan/sized_copy.py`. An axis is a product of factors, as a Reshape merges and splits
axes; a factor that stands for axes of the input is a *run* along these, perhaps with further places at its ends, such
as that of a class token.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.registry import find


@dataclasses.dataclass(frozen=True)
class AxisFactor:
    """A factor of an axis."""

    size: int
    """The number of places."""
    axes: tuple[int, ...] = ()
    """The axes of the input that the places stand for, the slowest first; none for another axis, such as channels."""
    sizes: tuple[int, ...] = ()
    """The number of places along each of these, which is less than the input's where patches are embedded."""
    lead: int = 0
    """The number of further places at the start."""
    trail: int = 0
    """The number of further places at the end."""


Axis = tuple[AxisFactor, ...]
Axes = tuple[Axis, ...]
_Follow = Callable[[Call, Sequence[Axes | None], tuple[int, ...]], Axes | None]
"""A function from a call, the axes of its operands and the sizes of its output to the axes of its output."""


def run_of(axis: Axis) -> AxisFactor | None:
    """Return the run along axes of the input that an axis is as a whole; None where it is none."""
    if len(axis) == 1:
        return axis[0] if axis[0].axes else None
    if not axis or any(not f.axes or f.lead or f.trail for f in axis):
        return None
    sizes = tuple(n for f in axis for n in f.sizes)
    return AxisFactor(math.prod(sizes), tuple(i for f in axis for i in f.axes), sizes)


def follow_axes(graph: ir.Graph, source: ir.Value) -> dict[ir.Value, Axes]:
    """Follow the axes of an input to all values that have them, or none where an operator is not known.

    A value that depends on the input and is missing here is one whose axes are lost.
    """
    sizes = sizes_of(source)
    if sizes is None:
        return {}
    found: dict[ir.Value, Axes] = {source: tuple((AxisFactor(n, (i,), (n,)),) for i, n in enumerate(sizes))}
    for node in graph:
        if not any(v in found for v in node.inputs):
            continue
        operands = [None if v is None else found.get(v) or _unfollowed(v) for v in node.inputs]
        for value in node.outputs:
            out, follow = sizes_of(value), _way(node, found)
            axes = None if out is None or follow is None else follow(Call.of(node), operands, out)
            if axes is not None and [math.prod(f.size for f in axis) for axis in axes] == list(out or ()):
                found[value] = axes
    return found


def sizes_of(value: ir.Value) -> tuple[int, ...] | None:
    """Return the sizes of a value; None where one is not known."""
    shape = value.shape
    return tuple(shape.numpy()) if shape is not None and shape.is_static() else None


def _unfollowed(value: ir.Value) -> Axes | None:
    """Return the axes of a value that does not depend on the input, or whose axes are lost."""
    sizes = sizes_of(value)
    return None if sizes is None else _plain(sizes)


def _plain(sizes: Sequence[int]) -> Axes:
    return tuple((AxisFactor(n),) for n in sizes)


def _way(node: ir.Node, found: Mapping[ir.Value, Axes]) -> _Follow | None:
    """Choose the function that follows axes through a node."""
    entry = find(node)
    if entry is not None and entry.layer is not None and entry.layer.kind == "convolution":
        return _windowed
    if entry is not None and entry.elementwise:
        return _broadcast
    if node.domain != "":
        return None
    if node.op_type == "Gather" and node.inputs[0] not in found:
        return _looked_up
    return _WAYS.get(node.op_type)


# ------------------------------------------------------------------------------------------- elementwise and products


def _merged(operands: Sequence[Axes | None], sizes: Sequence[int]) -> Axes:
    """Return the axes of what operands broadcast to: the one run that any of them has along an axis."""
    merged = []
    for place, size in enumerate(sizes):
        index = place - len(sizes)
        own = [axes[index] for axes in operands if axes is not None and len(axes) >= -index]
        named = {axis for axis in own if any(f.axes for f in axis) and math.prod(f.size for f in axis) == size}
        merged.append(named.pop() if len(named) == 1 else (AxisFactor(size),))
    return tuple(merged)


def _broadcast(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    return _merged(operands, out)


def _expanded(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    return _merged(operands[:1], out)


def _kept(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Keep the axes of the first operand."""
    return operands[0]


def _multiplied(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    a, b = operands[:2]
    if a is None or b is None or len(a) < 2 or len(b) < 2:
        return None
    return (*_merged([a[:-2], b[:-2]], out[:-2]), a[-2], b[-1])


def _gemm(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    a, b = operands[:2]
    if a is None or b is None:
        return None
    return a[1 if call.attr("transA", 0) else 0], b[0 if call.attr("transB", 0) else 1]


# --------------------------------------------------------------------------------------------------- moving of axes


def _transposed(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    axes = operands[0]
    return None if axes is None else tuple(axes[i] for i in call.ints("perm", range(len(axes))[::-1]))


def _reshaped(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Share the factors of the operand out among the axes of the output, in the order in which elements lie."""
    if operands[0] is None:
        return None
    waiting, shared = [f for axis in operands[0] for f in axis], []
    for place, size in enumerate(out):
        taken, left = list[AxisFactor](), size
        while waiting and (left > 1 or (waiting[0].size == 1 and (not taken or 1 not in out[place + 1 :]))):
            factor = waiting.pop(0)
            if factor.size > left:
                factor, rest = _split(factor, left)
                waiting.insert(0, rest)
            if left % factor.size:
                return _plain(out)
            left //= factor.size
            taken.append(factor)
        # A single sample that is merged with another axis has no place of its own.
        shared.append(tuple(f for f in taken if f.size > 1 or len(taken) == 1) or (AxisFactor(size),))
    return tuple(shared)


def _split(factor: AxisFactor, size: int) -> tuple[AxisFactor, AxisFactor]:
    """Split a factor in two, the first of a size. Places that lie together, as the pixels of a patch, still stand for
    one axis of the input."""
    rest = AxisFactor(max(factor.size // size, 1)) if factor.size % size == 0 else AxisFactor(factor.size)
    one = len(factor.axes) == 1 and not factor.lead and not factor.trail
    return (AxisFactor(size, factor.axes, (size,)) if one else AxisFactor(size)), rest


def _concatenated(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Add places to the run of the one operand that has any along the axis."""
    if any(axes is None for axes in operands):
        return None
    every = [axes for axes in operands if axes is not None]
    axis = int(call.attr("axis")) % len(out)
    merged = list(_merged([(*axes[:axis], (AxisFactor(1),), *axes[axis + 1 :]) for axes in every], out))
    counts, runs = [math.prod(f.size for f in axes[axis]) for axes in every], [run_of(axes[axis]) for axes in every]
    named = [i for i, axes in enumerate(every) if any(f.axes for f in axes[axis])]
    run = runs[named[0]] if len(named) == 1 else None
    if run is not None:
        lead, trail = run.lead + sum(counts[: named[0]]), run.trail + sum(counts[named[0] + 1 :])
        merged[axis] = (AxisFactor(out[axis], run.axes, run.sizes, lead, trail),)
    return tuple(merged)


def _padded(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Add places to the ends of an axis; those around a picture are taken for the picture's own."""
    axes, pads = operands[0], content(call.input(1))
    if axes is None or pads is None or min(pads, default=0) < 0:
        return None
    named, known = content(call.input(3)), call.input(3) is not None
    if known and named is None:
        return None
    places = range(len(axes)) if named is None else [int(i) % len(axes) for i in named.tolist()]
    padded = list(axes)
    for place, lead, trail in zip(places, pads[: len(places)].tolist(), pads[len(places) :].tolist(), strict=True):
        run = run_of(axes[place])
        if lead or trail:
            padded[place] = _resized(axes[place], out[place]) if place > 1 else (AxisFactor(out[place]),)
        if (lead or trail) and run is not None and place < 2:
            padded[place] = (AxisFactor(out[place], run.axes, run.sizes, run.lead + lead, run.trail + trail),)
    return tuple(padded)


def _sliced(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Keep the axes that are not cut, and the run of one that loses no more than places at its ends."""
    axes, starts = operands[0], content(call.input(1))
    if axes is None or starts is None:
        return None
    named = content(call.input(3))
    cut = range(len(starts)) if named is None else named.tolist()
    begins = {int(axis) % len(axes): int(start) for axis, start in zip(cut, starts.tolist(), strict=True)}
    steps = content(call.input(4))
    kept = [a if math.prod(f.size for f in a) == n else (AxisFactor(n),) for a, n in zip(axes, out, strict=True)]
    for axis, start in begins.items() if steps is None or (steps == 1).all() else ():
        run = run_of(axes[axis])
        start += 0 if start >= 0 or run is None else run.size
        if run is not None and start <= run.lead and run.size - start - out[axis] <= run.trail:
            trail = run.trail - (run.size - start - out[axis])
            kept[axis] = (dataclasses.replace(run, size=out[axis], lead=run.lead - start, trail=trail),)
    return tuple(kept) if steps is None or (steps == 1).all() else _uncut(axes, out)


def _uncut(axes: Axes, out: tuple[int, ...]) -> Axes:
    """Keep the axes that have the same size as those of the output."""
    return tuple(a if math.prod(f.size for f in a) == n else (AxisFactor(n),) for a, n in zip(axes, out, strict=True))


def _divided(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Keep all axes but the one that is cut into parts."""
    if operands[0] is None:
        return None
    axis = int(call.attr("axis", 0)) % len(out)
    return (*operands[0][:axis], (AxisFactor(out[axis]),), *operands[0][axis + 1 :])


def _gathered(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Keep all axes but the one that elements are chosen along."""
    axes = operands[0]
    if axes is None:
        return None
    axis = int(call.attr("axis", 0)) % len(axes)
    chosen = out[axis : axis + len(out) - len(axes) + 1]
    return (*axes[:axis], *_plain(chosen), *axes[axis + 1 :])


def _looked_up(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Put the axes of ids in the place of a table's axis."""
    table, ids = operands[:2]
    if table is None or ids is None:
        return None
    axis = int(call.attr("axis", 0)) % len(table)
    return (*table[:axis], *ids, *table[axis + 1 :])


def _reduced(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    axes, named = operands[0], content(call.input(1))
    if axes is None or (named is None and call.input(1) is not None):
        return None
    gone = set(range(len(axes))) if named is None else {int(i) % len(axes) for i in named.ravel()}
    kept = [axis if i not in gone else (AxisFactor(1),) for i, axis in enumerate(axes)]
    return tuple(kept) if call.attr("keepdims", 1) else tuple(a for i, a in enumerate(kept) if i not in gone)


def _windowed(call: Call, operands: Sequence[Axes | None], out: tuple[int, ...]) -> Axes | None:
    """Keep samples and space of a convolution, pool or Resize, whose places in space are fewer or more."""
    axes = operands[0]
    if axes is None or len(axes) != len(out):
        return None
    space = [_resized(axis, size) for axis, size in zip(axes[2:], out[2:], strict=True)]
    channels = axes[1] if math.prod(f.size for f in axes[1]) == out[1] and call.op_type in _WINDOWS else _plain(out)[1]
    return (axes[0], channels, *space)


def _resized(axis: Axis, size: int) -> Axis:
    run = run_of(axis)
    alone = run is not None and len(run.axes) == 1 and not run.lead and not run.trail
    return (AxisFactor(size, run.axes, (size,)),) if alone and run is not None else (AxisFactor(size),)


_NORMS = ("BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization")
_KEEPING = (*_NORMS, "Softmax", "LogSoftmax", "Identity", "Cast", "RMSNormalization", "LpNormalization", "CumSum")
_WINDOWS = ("AveragePool", "LpPool", "MaxPool", "Resize")
_REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")
_WAYS: Mapping[str, _Follow] = {
    **dict.fromkeys((*_KEEPING, "Dropout", "Trilu"), _kept),
    **dict.fromkeys(_WINDOWS, _windowed),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _reshaped),
    "Concat": _concatenated,
    "Expand": _expanded,
    "Gather": _gathered,
    "Gemm": _gemm,
    "MatMul": _multiplied,
    "Pad": _padded,
    "Slice": _sliced,
    "Split": _divided,
    "Transpose": _transposed,
    "Where": _broadcast,
}
"""The function that follows axes through each of ONNX's operators that is neither elementwise nor a convolution."""
