"""Operators that sample a picture at positions between its elements: linear in the picture, positions are operands."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.operators import interpolation
from onnxlrp.operators.interpolation import Corner, Tap
from onnxlrp.operators.registry import LayerForm, all_operands, decomposed, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def length(op: Builder, value: ir.Value, axis: int, dtype: ir.DataType) -> ir.Value:
    """Return the size of an axis as a float scalar."""
    known = op.dims(value)[axis]
    if known is not None:
        return op.constant(known, dtype)
    return op.Cast(op.Squeeze(op.dim(value, axis), op.ints([0])), to=dtype)


def count_up(op: Builder, size: ir.Value, dtype: ir.DataType | None = None) -> ir.Value:
    """Build the vector 0, 1, …, size − 1 in a type, by default int64; `size` is int64 [1]."""
    positions = op.count_up(size)
    return positions if dtype is None else op.cast(positions, dtype)


def as_pictures(op: Builder, value: ir.Value, groups: int = 1) -> ir.Value:
    """Reshape [N, C, spatial…] to [N·groups, C/groups, elements]."""
    channels = op.dim(value, 1)
    if groups > 1:
        channels = op.Div(channels, op.ints([groups]))
    return op.Reshape(value, op.Concat(op.ints([-1]), channels, op.volume(value, 2), axis=0))


# ---------------------------------------------------------------------------------------------------------- GridSample


def _grid_mode(call: Call | ir.Node) -> str:
    mode = call.attributes.get("mode")
    return "linear" if mode is None else mode.as_string()


_GRID: dict[str, Any] = {
    "operands": lambda call: (0, 1),
    "gradient_only": (1,),
    "sign": lambda call: "unknown" if _grid_mode(call) == "cubic" else "keeps",
}


@linear("GridSample", when=lambda call: _grid_mode(call) == "nearest", linearity="selection", **_GRID)
@linear("GridSample", linearity="sum", **_GRID)
def grid_sample(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions, or follows the values (nearest); the grid gets none."""
    x, grid = call.operand(0), call.operand(1)
    corners, pictures, back = _grid_corners(op, call), as_pictures(op, x), as_pictures(op, r)
    if operand == 0:
        return op.Reshape(interpolation.give_back(op, back, corners, pictures), op.shape(x))
    # The grid counts its axes from the innermost.
    along = interpolation.by_position(op, back, corners, pictures)[::-1]
    return op.Reshape(op.Transpose(op.Concat(*along, axis=1), perm=[0, 2, 1]), op.shape(grid))


def _grid_corners(op: Builder, call: Call) -> list[Corner]:
    """Return the corners that each position of the grid reads; their values are [N, 1, positions]."""
    x, grid = call.operand(0), call.operand(1)
    axes = call.rank() - 2
    places = op.Div(op.volume(grid, 1), op.ints([axes]))
    rows = op.Reshape(grid, op.Concat(op.dim(grid, 0), op.ints([1]), places, op.ints([axes]), axis=0))
    taps = [
        _grid_taps(op, call, op.Gather(rows, op.ints_scalar(axes - 1 - axis), axis=3), axis + 2) for axis in range(axes)
    ]
    return list(interpolation.corners(op, taps, [op.dim(x, axis + 2) for axis in range(axes)]))


def _grid_taps(op: Builder, call: Call, at: ir.Value, axis: int) -> list[Tap]:
    """Compute the taps along one axis of n elements; their slopes are derivatives by the grid's numbers g.

    The position is (g + 1)/2·(n − 1) with aligned corners, else ((g + 1)·n − 1)/2. Positions outside of the picture
    read zero, the border, or the mirrored picture.
    """
    assert at.dtype is not None
    n = length(op, call.operand(0), axis, at.dtype)
    last, zero = op.Sub(n, 1.0), op.number(0.0, at)
    aligned, padding, mode = bool(call.attr("align_corners", 0)), call.attr("padding_mode", "zeros"), _grid_mode(call)
    scale = op.Mul(last if aligned else n, 0.5)
    position = op.Mul(op.Add(at, 1.0), scale)
    position = position if aligned else op.Sub(position, 0.5)
    position = op.Round(position) if mode == "nearest" else position
    low, high = (zero, last) if aligned else (op.number(-0.5, at), op.Sub(n, 0.5))
    if padding == "border":
        outside = op.Or(op.Less(position, low), op.Greater(position, high))
        position = op.Where(outside, op.Min(op.Max(position, zero), last), position)
        scale = op.Where(outside, zero, scale)
    elif padding == "reflection":
        span = op.Max(last, op.number(1.0, at)) if aligned else n
        position, sign = _reflected(op, position, low, span)
        scale = op.Mul(scale, sign)
    taps = []
    for tap in getattr(interpolation, mode)(op, position):
        index = _reflected(op, tap.index, low, span)[0] if padding == "reflection" else tap.index
        slope = None if tap.slope is None else op.Mul(tap.slope, scale)
        taps.append(interpolation.inside(op, Tap(index, tap.weight, slope), n, zeros=padding == "zeros"))
    return taps


def _reflected(op: Builder, position: ir.Value, low: ir.Value, span: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Mirror positions at `low` and at low + span until they lie between; return them and their derivatives, ±1."""
    twice = op.Mul(span, 2.0)
    beyond = op.Sub(position, low)
    beyond = op.Sub(beyond, op.Mul(twice, op.Floor(op.Div(beyond, twice))))
    returns = op.Greater(beyond, span)
    sign = op.Where(returns, op.number(-1.0, position), op.number(1.0, position))
    return op.Add(low, op.Where(returns, op.Sub(twice, beyond), beyond)), sign


# ---------------------------------------------------------------------------------------------------------- DeformConv


@linear(
    "DeformConv",
    operands=all_operands,
    gradient_only=(2, 4),
    layer=LayerForm("convolution", ((0, 1),), bias=3, factors=(4,)),
)
def deform_conv(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule at the positions that the offsets give; offsets and mask get none."""
    x, w = call.operand(0), call.operand(1)
    if operand == 3:
        return op.ReduceSum(r, op.ints([0, *range(2, call.rank())]), keepdims=0)
    groups = int(call.attr("offset_group", 1))
    pictures, corners = as_pictures(op, x, groups), _deformed(op, call)
    mask = None if call.input(4) is None else _by_offset_group(op, call, call.operand(4))
    if operand == 1:
        read = interpolation.read(op, pictures, corners, _columns_shape(op, call, pictures, corners))
        return _deform_kernel_back(op, call, r, read if mask is None else op.Mul(read, mask))
    columns = _deform_columns_back(op, call, r, _columns_shape(op, call, pictures, corners))
    if operand == 4:
        read = interpolation.read(op, pictures, corners, op.shape(columns))
        return op.Reshape(op.ReduceSum(op.Mul(columns, read), op.ints([1]), keepdims=1), op.shape(call.operand(4)))
    columns = columns if mask is None else op.Mul(columns, mask)
    if operand == 0:
        return op.Reshape(interpolation.give_back(op, columns, corners, pictures), op.shape(x))
    offset, axes = call.operand(2), call.rank(1) - 2
    apart = op.Concat(op.ints([-1]), op.volume(w, 2), op.ints([1]), op.volume(offset, 2), axis=0)
    along = [op.Reshape(a, apart) for a in interpolation.by_position(op, columns, corners, pictures)]
    assert len(along) == axes
    return op.Reshape(op.Concat(*along, axis=2), op.shape(offset))


def _columns_shape(op: Builder, call: Call, pictures: ir.Value, corners: Sequence[Corner]) -> ir.Value:
    """Compute the shape of what all positions read, [N·offset groups, channels of a group, kernel · positions]."""
    both = op.Mul(op.volume(call.operand(1), 2), op.volume(call.operand(2), 2))
    return op.Concat(op.shape(pictures, 0, 2), both, axis=0)


def _by_offset_group(op: Builder, call: Call, mask: ir.Value) -> ir.Value:
    """Reshape [N, offset groups · kernel, outputs…] to [N·offset groups, 1, kernel · positions]."""
    both = op.Mul(op.volume(call.operand(1), 2), op.volume(call.operand(2), 2))
    return op.Reshape(mask, op.Concat(op.ints([-1, 1]), both, axis=0))


def _deformed(op: Builder, call: Call) -> list[Corner]:
    """Return the corners that each kernel element reads at each output, [N·offset groups, 1, kernel · positions].

    Along an axis the position is output · stride − pad + kernel element · dilation + offset; a position outside of the
    picture reads zeros.
    """
    x, w, offset = call.operand(0), call.operand(1), call.operand(2)
    axes = call.rank(1) - 2
    assert offset.dtype is not None
    strides, dilations = call.ints("strides", [1] * axes), call.ints("dilations", [1] * axes)
    pads = call.ints("pads", [0] * 2 * axes)
    kernel, positions = op.volume(w, 2), op.volume(offset, 2)
    offsets = op.Reshape(offset, op.Concat(op.ints([-1]), kernel, op.ints([axes]), positions, axis=0))
    both_shapes = op.Concat(op.shape(w, 2), op.shape(offset, 2), axis=0)
    flat = op.Concat(op.ints([-1, 1]), op.Mul(kernel, positions), axis=0)
    taps = []
    for axis in range(axes):
        element = op.Mul(count_up(op, op.dim(w, axis + 2), offset.dtype), float(dilations[axis]))
        output = op.Sub(
            op.Mul(count_up(op, op.dim(offset, axis + 2), offset.dtype), float(strides[axis])), float(pads[axis])
        )
        rows = op.Reshape(element, op.ints([-1 if a == axis else 1 for a in range(2 * axes)]))
        columns = op.Reshape(output, op.ints([-1 if a == axis + axes else 1 for a in range(2 * axes)]))
        plain = op.Reshape(op.Expand(op.Add(rows, columns), both_shapes), op.Concat(kernel, positions, axis=0))
        at = op.Reshape(op.Add(op.Gather(offsets, op.ints_scalar(axis), axis=2), plain), flat)
        n = length(op, x, axis + 2, offset.dtype)
        taps.append([interpolation.inside(op, tap, n, zeros=True) for tap in interpolation.linear(op, at)])
    return list(interpolation.corners(op, taps, [op.dim(x, axis + 2) for axis in range(axes)]))


def _deform_columns_back(op: Builder, call: Call, r: ir.Value, shape: ir.Value) -> ir.Value:
    """Carry `r` back through the product with the kernel to the values that were read: Wᵀ·r in every group."""
    w, group = call.operand(1), int(call.attr("group", 1))
    turned = op.Transpose(op.Reshape(w, _kernel_rows(op, w, group)), perm=[0, 2, 1])
    return op.Reshape(op.MatMul(turned, _outputs_by_group(op, r, group)), shape)


def _deform_kernel_back(op: Builder, call: Call, r: ir.Value, columns: ir.Value) -> ir.Value:
    """Carry `r` back to the kernel: the sum of `r` times the values that were read, over samples and positions."""
    w, group = call.operand(1), int(call.attr("group", 1))
    positions = op.volume(call.operand(2), 2)
    read = op.Reshape(columns, op.Concat(op.dim(r, 0), op.ints([group, -1]), positions, axis=0))
    back = op.MatMul(_outputs_by_group(op, r, group), op.Transpose(read, perm=[0, 1, 3, 2]))
    return op.Reshape(op.ReduceSum(back, op.ints([0]), keepdims=0), op.shape(w))


def _kernel_rows(op: Builder, w: ir.Value, group: int) -> ir.Value:
    """Compute the shape of a kernel by groups, [groups, outputs of a group, inputs of a group · kernel]."""
    inputs = op.Mul(op.dim(w, 1), op.volume(w, 2))
    return op.Concat(op.ints([group, -1]), inputs, axis=0)


def _outputs_by_group(op: Builder, r: ir.Value, group: int) -> ir.Value:
    """Reshape [N, C, outputs…] to [N, groups, C/groups, positions]."""
    outputs = op.Div(op.dim(r, 1), op.ints([group]))
    return op.Reshape(r, op.Concat(op.dim(r, 0), op.ints([group]), outputs, op.volume(r, 2), axis=0))


# ---------------------------------------------------------------------------------------------------------- AffineGrid


@decomposed("AffineGrid")
def affine_grid(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the sum of theta's columns times constant coordinates.

    Along an axis of n positions the coordinates are −1 + (2i + 1)/n, or −1 + 2i/(n − 1) with aligned corners.
    """
    theta, size = call.operand(0), call.operand(1)
    axes = _grid_axes(op, call)
    assert theta.dtype is not None
    # Coordinates need more digits than halves have.
    wide = ir.DataType.DOUBLE if theta.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    between = op.ints(range(1, 1 + axes))
    columns = [op.Unsqueeze(op.Gather(theta, op.ints_scalar(c), axis=2), between) for c in range(axes + 1)]
    parts = []
    for axis in range(axes):
        n = op.Gather(size, op.ints([axis + 2]))
        steps, count = count_up(op, op.cast(n, ir.DataType.INT64), wide), op.cast(n, wide)
        if call.attr("align_corners", 0):
            along = op.Div(op.Mul(steps, 2.0), op.Max(op.Sub(count, 1.0), op.constant(1, wide)))
        else:
            along = op.Div(op.Add(op.Mul(steps, 2.0), 1.0), count)
        shape = op.ints([1, *(-1 if a == axis else 1 for a in range(axes)), 1])
        coordinates = op.cast(op.Reshape(op.Sub(along, 1.0), shape), theta.dtype)
        # The first column belongs to the innermost axis, and the last one is the shift.
        parts.append(op.Mul(coordinates, columns[axes - 1 - axis]))
    return [functools.reduce(op.Add, [*parts, columns[axes]])]


def _grid_axes(op: Builder, call: Call) -> int:
    """Count the spatial axes, 2 or 3, from the shape of theta or size; raises InputError where neither is known."""
    theta, size = call.operand(0), call.operand(1)
    rows = op.dims(theta)[1] if theta.shape is not None and len(theta.shape) == 3 else None
    entries = op.dims(size)[0] if size.shape is not None and len(size.shape) == 1 else None
    if rows is None and entries is None:
        raise InputError(
            f"AffineGrid node {call.name!r}: 2 or 3 spatial axes cannot be told: declare the shape of "
            f"{theta.name!r} or {size.name!r}"
        )
    return rows if rows is not None else int(entries or 0) - 2
