"""Pools over regions of interest, which divide each region into a fixed number of bins."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators import interpolation
from onnxlrp.operators.interpolation import Tap
from onnxlrp.operators.registry import linear, routing
from onnxlrp.operators.sampling import count_up, length

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ROWS, _COLUMNS = 0, 1


# ------------------------------------------------------------------------------------------------------------ RoiAlign


@dataclasses.dataclass(frozen=True)
class _Samples:
    """Sampling positions of the bins of every region along one axis; values are [regions, bins, samples]."""

    taps: list[Tap]
    """Taps of each sample; weights and slopes are 0 for a sample outside of the picture."""
    first: ir.Value
    """Derivative of the position by the region's first edge."""
    last: ir.Value
    """Derivative of the position by the region's last edge."""
    exists: ir.Value | None
    """Mask of the samples that a region has, [regions, 1, samples]; None where all regions have equally many."""
    count: ir.Value
    """Number of samples of a bin, at least 1, a float."""
    size: ir.Value
    """Length of the picture along the axis, int64 [1]."""


def _samples(op: Builder, call: Call, axis: int) -> _Samples:
    """Compute the sampling positions of a RoiAlign along one axis.

    Sample s of S in bin p of P lies at `first + (last − first)·(p + (s + ½)/S)/P`, clipped to the picture. A sample
    more than one element outside of the picture counts as 0. S is `sampling_ratio`, or else the least number for which
    samples are at most one element apart. In the mode without half pixels a region is at least one element long.
    """
    x, rois = call.operand(0), call.operand(1)
    assert x.dtype is not None
    bins = int(call.attr("output_width" if axis == _COLUMNS else "output_height", 1))
    half, scale = (
        call.attr("coordinate_transformation_mode", "half_pixel") == "half_pixel",
        call.attr("spatial_scale", 1.0),
    )
    edges = op.Mul(op.cast(rois, x.dtype), scale)
    edges = op.Sub(edges, 0.5) if half else edges
    column = op.ints([-1, 1, 1])
    low, high = (op.Reshape(op.Gather(edges, op.ints_scalar(e), axis=1), column) for e in (1 - axis, 3 - axis))
    extent = op.Sub(high, low)
    free = op.number(1.0, low) if half else op.cast(op.Greater(extent, 1.0), x.dtype)
    extent = extent if half else op.Max(extent, op.number(1.0, extent))
    ratio = int(call.attr("sampling_ratio", 0))
    if ratio > 0:
        count, exists = op.constant(ratio, x.dtype), None
        numbers = count_up(op, op.ints([ratio]), x.dtype)
    else:
        wanted = op.Ceil(op.Div(extent, float(bins)))
        # The number of samples is at least one, also for a picture without regions.
        each = op.Concat(op.ints([1]), op.Reshape(op.Cast(wanted, to=ir.DataType.INT64), op.ints([-1])), axis=0)
        numbers = count_up(op, op.ReduceMax(each, keepdims=1), x.dtype)
        exists = op.Less(numbers, wanted)
        count = op.Max(wanted, op.number(1.0, wanted))
    places = op.Reshape(count_up(op, op.ints([bins]), x.dtype), op.ints([1, -1, 1]))
    along = op.Div(op.Add(places, op.Div(op.Add(numbers, 0.5), count)), float(bins))
    n = length(op, x, 2 + axis, x.dtype)
    at, nothing = op.Add(low, op.Mul(extent, along)), op.number(0.0, low)
    visible = op.And(op.GreaterOrEqual(at, -1.0), op.LessOrEqual(at, n))
    visible = visible if exists is None else op.And(visible, exists)
    end = op.Sub(n, 1.0)
    moves = op.cast(op.And(op.GreaterOrEqual(at, 0.0), op.Less(at, end)), x.dtype)
    at = op.Min(op.Max(at, nothing), end)
    taps = []
    for tap in interpolation.linear(op, at):
        inside = interpolation.inside(op, tap, n)
        assert inside.weight is not None and inside.slope is not None
        weight, slope = (op.Where(visible, v, nothing) for v in (inside.weight, op.Mul(inside.slope, moves)))
        taps.append(Tap(inside.index, weight, slope))
    last = op.Mul(op.Mul(along, scale), free)
    return _Samples(taps, op.Sub(scale, last), last, exists, count, op.dim(x, 2 + axis))


@linear(
    "RoiAlign",
    operands=lambda call: (0, 1),
    gradient_only=(1,),
    linearity="sum",
    sign="keeps",
)
def roi_align(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions, or goes to the winner (mode max); the regions get
    none."""
    rows, columns = _samples(op, call, _ROWS), _samples(op, call, _COLUMNS)
    if call.attr("mode", "avg") == "max":
        return _max_back(op, call, operand, r, rows, columns)
    weights = _averages(op, rows), _averages(op, columns)
    if operand == 0:
        return _average_back(op, call, r, *weights)
    return _average_by_region(op, call, r, weights, (rows, columns))


def _averages(op: Builder, samples: _Samples, by: ir.Value | None = None) -> ir.Value:
    """Compute the weight of each element in the average of each bin along an axis, [regions, bins, elements].

    With `by`, the derivative of the position by an edge, compute the weight's derivative by that edge instead.
    """
    matrix = interpolation.matrix(op, samples.taps, samples.size, slopes=by is not None)
    matrix = matrix if by is None else op.Mul(matrix, op.Unsqueeze(by, op.ints([-1])))
    return op.Div(op.ReduceSum(matrix, op.ints([2]), keepdims=0), samples.count)


def _average_back(op: Builder, call: Call, r: ir.Value, rows: ir.Value, columns: ir.Value) -> ir.Value:
    """Carry `r` back to x as `Σ rowsᵀ·r·columns` over the regions of each picture, in one matrix product."""
    x = call.operand(0)
    assert r.dtype is not None
    wide = op.Transpose(op.MatMul(r, op.Unsqueeze(columns, op.ints([1]))), perm=[0, 2, 1, 3])
    right = op.Reshape(wide, op.Concat(op.ints([-1]), op.Mul(op.dim(x, 1), op.dim(x, 3)), axis=0))
    owner = op.one_hot(op.Unsqueeze(call.operand(2), op.ints([1])), op.dim(x, 0), r.dtype)
    own = op.Unsqueeze(op.Transpose(owner, perm=[1, 0]), op.ints([1, 3]))
    tall = op.Mul(own, op.Transpose(rows, perm=[2, 0, 1]))
    left = op.Reshape(tall, op.Concat(op.Mul(op.dim(x, 0), op.dim(x, 2)), op.ints([-1]), axis=0))
    apart = op.Concat(op.dim(x, 0), op.dim(x, 2), op.dim(x, 1), op.dim(x, 3), axis=0)
    return op.Transpose(op.Reshape(op.MatMul(left, right), apart), perm=[0, 2, 1, 3])


def _average_by_region(
    op: Builder, call: Call, r: ir.Value, weights: tuple[ir.Value, ir.Value], samples: tuple[_Samples, _Samples]
) -> ir.Value:
    """Compute the derivative of average pooling by the regions' edges, [regions, 4], through the samples' positions."""
    pictures = op.Gather(call.operand(0), call.operand(2), axis=0)
    swapped = op.Transpose(pictures, perm=[0, 1, 3, 2])
    parts: dict[int, ir.Value] = {}
    for axis, (picture, given) in enumerate(((pictures, r), (swapped, op.Transpose(r, perm=[0, 1, 3, 2])))):
        # The factors are [regions, bins of this axis, C · other bins] and [regions, C · other bins, elements].
        read = op.MatMul(op.Unsqueeze(weights[1 - axis], op.ints([1])), op.Transpose(picture, perm=[0, 1, 3, 2]))
        bins, elements = op.dim(given, 2), samples[axis].size
        right = op.Reshape(read, op.Concat(op.dim(r, 0), op.Mul(op.dim(r, 1), op.dim(given, 3)), elements, axis=0))
        turned = op.Transpose(given, perm=[0, 2, 1, 3])
        left = op.Reshape(turned, op.Concat(op.dim(r, 0), bins, op.Mul(op.dim(r, 1), op.dim(given, 3)), axis=0))
        back = op.MatMul(left, right)
        for edge, by in ((1 - axis, samples[axis].first), (3 - axis, samples[axis].last)):
            product = op.Mul(back, _averages(op, samples[axis], by))
            parts[edge] = op.Unsqueeze(op.ReduceSum(product, op.ints([1, 2]), keepdims=0), op.ints([1]))
    return op.Concat(*(parts[edge] for edge in range(4)), axis=1)


def _max_back(op: Builder, call: Call, operand: int, r: ir.Value, rows: _Samples, columns: _Samples) -> ir.Value:
    """Carry `r` back through mode max, in which the maximum is over elements times their weights, not over samples."""
    x = call.operand(0)
    assert r.dtype is not None
    # Taps are [regions, 1, bin rows, bin columns, sample rows, sample columns].
    by_row = [_placed(op, tap, [1, 3, 5]) for tap in rows.taps]
    by_column = [_placed(op, tap, [1, 2, 4]) for tap in columns.taps]
    corners = list(interpolation.corners(op, [by_row, by_column], [rows.size, columns.size]))
    index = _stacked(op, [c.index for c in corners])
    weight = _stacked(op, [c.weight for c in corners])
    exists = None
    if rows.exists is not None and columns.exists is not None:
        both = op.And(op.Unsqueeze(rows.exists, op.ints([1, 3, 5])), op.Unsqueeze(columns.exists, op.ints([1, 2, 4])))
        exists = _stacked(op, [op.Expand(both, op.Shape(c.index)) for c in corners])
    source, values = _candidate_values(op, x, call.operand(2), index, weight, exists)
    if operand == 1:
        return _max_by_region(op, r, op.Gather(op.Reshape(x, op.ints([-1])), source), values, corners, (rows, columns))
    winner = op.ArgMax(values, axis=4, keepdims=1)
    won = op.GatherElements(op.Expand(weight, op.Shape(source)), winner, axis=4)
    return op.scatter_back(op.Mul(op.Unsqueeze(r, op.ints([4])), won), op.GatherElements(source, winner, axis=4), x)


def _max_by_region(
    op: Builder,
    r: ir.Value,
    elements: ir.Value,
    values: ir.Value,
    corners: list[interpolation.Corner],
    samples: tuple[_Samples, _Samples],
) -> ir.Value:
    """Compute the right-hand derivative by the edges: among candidates of equal value, the largest derivative counts.

    Candidates of weight 0 are equal where a sample lies on an element or outside of the picture, and most of them do
    not become winners when the edge moves. To choose one by its place would give the derivative of neither side.
    """
    beaten = op.Less(values, op.ReduceMax(values, op.ints([4]), keepdims=1))
    assert values.dtype is not None
    least = op.number(float(values.dtype.min), values)
    parts: dict[int, ir.Value] = {}
    for axis, axes in ((_ROWS, [1, 3, 5]), (_COLUMNS, [1, 2, 4])):
        slopes = [s for c in corners if (s := c.slopes[axis]) is not None]
        for edge, by in ((1 - axis, samples[axis].first), (3 - axis, samples[axis].last)):
            moves = op.Unsqueeze(by, op.ints(axes))
            derivative = op.Mul(elements, _stacked(op, [op.Mul(s, moves) for s in slopes]))
            steepest = op.ReduceMax(op.Where(beaten, least, derivative), op.ints([4]), keepdims=0)
            parts[edge] = op.Unsqueeze(op.ReduceSum(op.Mul(r, steepest), op.ints([1, 2, 3]), keepdims=0), op.ints([1]))
    return op.Concat(*(parts[edge] for edge in range(4)), axis=1)


def _placed(op: Builder, tap: Tap, axes: list[int]) -> Tap:
    """Insert axes of size 1 into a tap."""
    assert tap.weight is not None and tap.slope is not None
    index, weight, slope = (op.Unsqueeze(v, op.ints(axes)) for v in (tap.index, tap.weight, tap.slope))
    return Tap(index, weight, slope)


def _stacked(op: Builder, values: list[ir.Value | None]) -> ir.Value:
    """Stack values [regions, 1, bin rows, bin columns, sample rows, sample columns], one for each corner, to [regions,
    1, bin rows, bin columns, candidates]; the corners of one sample are adjacent."""
    return _candidates(op, op.Concat(*(op.Unsqueeze(v, op.ints([6])) for v in values), axis=6))


def _candidates(op: Builder, value: ir.Value) -> ir.Value:
    """Flatten all axes from the fifth on into one."""
    return op.Reshape(value, op.Concat(op.shape(value, 0, 4), op.volume(value, 4), axis=0))


def _candidate_values(
    op: Builder, x: ir.Value, batch: ir.Value, index: ir.Value, weight: ir.Value | None, exists: ir.Value | None
) -> tuple[ir.Value, ir.Value]:
    """Return the index into the flattened x of every candidate, [regions, C, bin rows, bin columns, candidates], and
    its value times its weight.

    `index` is the candidate's index within a channel, [regions, 1, bin rows, bin columns, candidates]. Candidates that
    do not exist get the lowest value.
    """
    assert x.dtype is not None
    channels = count_up(op, op.dim(x, 1))
    channel = op.Add(op.Mul(op.Unsqueeze(op.cast(batch, ir.DataType.INT64), op.ints([1])), op.dim(x, 1)), channels)
    base = op.Unsqueeze(op.Mul(channel, op.volume(x, 2)), op.ints([2, 3, 4]))
    source = op.Add(base, index)
    values = op.Gather(op.Reshape(x, op.ints([-1])), source)
    values = values if weight is None else op.Mul(values, weight)
    if exists is not None:
        least = float(x.dtype.min)
        values = op.Where(exists, values, op.number(least, x))
    return source, values


# ---------------------------------------------------------------------------------------------------------- MaxRoiPool


@routing("MaxRoiPool", selection="window", sign="keeps")
def max_roi_pool(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance goes to the winner; of equal ones, to the first. Regions are rounded to whole elements and have no
    derivative."""
    x, rois = call.operand(0), call.operand(1)
    (rows, row_exists), (columns, column_exists) = (_bins(op, call, axis) for axis in (_ROWS, _COLUMNS))
    flat = op.Add(
        op.Mul(op.Unsqueeze(rows, op.ints([1, 3, 5])), op.dim(x, 3)), op.Unsqueeze(columns, op.ints([1, 2, 4]))
    )
    both = op.And(op.Unsqueeze(row_exists, op.ints([1, 3, 5])), op.Unsqueeze(column_exists, op.ints([1, 2, 4])))
    index, exists = _candidates(op, flat), _candidates(op, both)
    batch = op.Cast(op.Gather(rois, op.ints_scalar(0), axis=1), to=ir.DataType.INT64)
    source, values = _candidate_values(op, x, batch, index, None, exists)
    winner = op.ArgMax(values, axis=4, keepdims=1)
    # An empty bin is 0 whatever x is.
    filled = op.GatherElements(op.Expand(exists, op.Shape(source)), winner, axis=4)
    given = op.Where(filled, op.Unsqueeze(r, op.ints([4])), op.constant(0, r.dtype))
    return op.scatter_back(given, op.GatherElements(source, winner, axis=4), x)


def _bins(op: Builder, call: Call, axis: int) -> tuple[ir.Value, ir.Value]:
    """Return the elements of every bin along one axis and whether they exist, [regions, bins, elements] each.

    A region of length n goes from round(first·scale) to round(last·scale), both included; bin p of P goes from ⌊p·n/P⌋
    to ⌈(p + 1)·n/P⌉.
    """
    x, rois = call.operand(0), call.operand(1)
    assert x.dtype is not None
    bins = call.ints("pooled_shape")[axis]
    scaled = op.Mul(op.cast(rois, x.dtype), float(call.attr("spatial_scale", 1.0)))
    # Numbers halfway between two integers are rounded away from zero.
    edges = op.Mul(op.Sign(scaled), op.Floor(op.Add(op.Abs(scaled), 0.5)))
    column = op.ints([-1, 1])
    low, high = (op.Reshape(op.Gather(edges, op.ints_scalar(e), axis=1), column) for e in (2 - axis, 4 - axis))
    extent = op.Add(op.Sub(high, low), 1.0)
    each = op.Div(op.Max(extent, op.number(1.0, extent)), float(bins))
    places, n = count_up(op, op.ints([bins]), x.dtype), length(op, x, 2 + axis, x.dtype)
    nothing = op.number(0.0, low)
    first, last = (
        op.Cast(op.Min(op.Max(op.Add(edge, low), nothing), n), to=ir.DataType.INT64)
        for edge in (op.Floor(op.Mul(each, places)), op.Ceil(op.Mul(each, op.Add(places, 1.0))))
    )
    largest = op.ReduceMax(op.Concat(op.ints([1]), op.Reshape(op.Sub(last, first), op.ints([-1])), axis=0), keepdims=1)
    elements = op.Add(op.Unsqueeze(first, op.ints([2])), count_up(op, largest))
    exists = op.Less(elements, op.Unsqueeze(last, op.ints([2])))
    end = op.Sub(op.dim(x, 2 + axis), op.ints([1]))
    return op.Min(elements, end), exists
