"""Resize, which is linear in the image: a product with a matrix along each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators import interpolation
from onnxlrp.operators.registry import decomposed, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_BY_LENGTH = ("align_corners", "tf_crop_and_resize")
"""Coordinate modes that depend on the lengths alone and not on the scale."""


def _mode(call: Call | ir.Node) -> str:
    mode = call.attributes.get("mode")
    return "nearest" if mode is None else mode.as_string()


def _coordinates(call: Call) -> str:
    return str(call.attr("coordinate_transformation_mode", "half_pixel"))


def _crops(call: Call) -> bool:
    """Decide whether a region of interest is resized instead of the whole image."""
    return _coordinates(call) == "tf_crop_and_resize" and call.input(1) is not None


def _policy(call: Call) -> str:
    """Return the policy by which sizes keep the aspect ratio, `stretch` if they do not."""
    return str(call.attr("keep_aspect_ratio_policy", "stretch")) if call.input(3) is not None else "stretch"


def _antialiased(call: Call) -> str | None:
    if not call.attr("antialias", 0):
        return None
    if _crops(call) and content(call.input(1)) is None:
        return "antialias with a region that the model computes has no rule yet"
    if _policy(call) != "stretch":
        return "antialias with a keep_aspect_ratio_policy has no rule yet"
    return None


def _axes(call: Call) -> list[int]:
    """Return the axes to which sizes, scales and region refer."""
    return [a % call.rank() for a in call.ints("axes", range(call.rank()))]


def _smooth_region(call: Call) -> bool:
    """Decide whether the output has a derivative by the region's edges."""
    return _crops(call) and _mode(call) != "nearest" and not call.attr("antialias", 0)


_RESIZE: dict[str, Any] = {
    "operands": lambda call: (0, 1) if _smooth_region(call) else (0,),
    "gradient_only": (1,),
    "refuse": _antialiased,
}


@linear("Resize", when=lambda call: _mode(call) == "nearest", linearity="selection", **_RESIZE)
@linear("Resize", linearity="sum", **_RESIZE)
def resize(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm), or follows the values (nearest); a region gets
    none."""
    if operand == 1:
        return _by_region(op, call, r)
    if _policy(call) != "stretch" and _mode(call) == "nearest":
        # Indices are resized as 32-bit integers, which every provider can resize.
        numbers = op.Cast(op.index_grid(call.operand(0)), to=ir.DataType.INT32)
        return op.scatter_back(r, op.cast(op.run(call.rebind({0: numbers})), ir.DataType.INT64), call.operand(0))
    return _back(op, call, r, list(range(call.rank())))


def _back(op: Builder, call: Call, r: ir.Value, axes: list[int]) -> ir.Value:
    """Carry `r` back along some axes."""
    rank = call.rank()
    for axis in axes:
        if _unchanged(op, call, axis):
            continue
        matrix = _matrix(op, call, axis, r.dtype)
        moved = [a for a in range(rank) if a != axis] + [axis]
        back = op.MatMul(op.Transpose(r, perm=moved), matrix)
        r = op.Transpose(back, perm=[moved.index(a) for a in range(rank)])
    return r


def _unchanged(op: Builder, call: Call, axis: int) -> bool:
    """Decide whether an axis is known to be unchanged; under a scale, equal sizes do not suffice: 3 × 1.3 is 3 too."""
    scales, axes = op.known(call.input(2)), _axes(call)
    if axis not in axes:
        return True
    if _policy(call) != "stretch" or (_crops(call) and not _whole(op, call, axes.index(axis))):
        return False
    if scales is not None and scales.size:
        return bool(scales[axes.index(axis)] == 1)
    before, after = call.operand(0).shape, call.outputs[0].shape
    if call.input(3) is None or before is None or after is None:
        return False
    size = before[axis]
    return size == after[axis] and (isinstance(size, int) or size.value is not None)


def _whole(op: Builder, call: Call, position: int) -> bool:
    """Decide whether the region that is resized, operand `roi`, is known to be the whole of an axis."""
    region = op.known(call.input(1))
    return region is not None and region[position] == 0 and region[position + len(region) // 2] == 1


def _matrix(op: Builder, call: Call, axis: int, dtype: ir.DataType | None) -> ir.Value:
    """Compute the matrix of the resize along one axis, [out, in]."""
    assert dtype is not None
    if _policy(call) != "stretch" and _coordinates(call) not in _BY_LENGTH:
        return _weights(op, call, axis, _scaled_positions(op, call, axis, dtype))
    # Resizing the identity matrix reproduces the rounding of whatever runtime runs the model.
    x, y = call.operand(0), call.outputs[0]
    size = op.dim(x, axis)
    positions = op.count_up(size)
    # Its shape is [in, 1, in, 1], because onnxruntime's linear and cubic kernels require a picture. The last axis is
    # doubled, because onnxruntime copies the operand if no size changes, whatever the scale.
    identity = op.Unsqueeze(op.one_hot(op.Unsqueeze(positions, op.ints([1])), size, dtype), op.ints([1, 3]))
    without = ("axes", "extrapolation_value", "keep_aspect_ratio_policy")
    attributes = {k: v for k, v in call.attributes.items() if k not in without}
    scales, sizes = call.input(2), call.input(3)
    if scales is not None and op.known(scales) is not None and op.known(scales).size == 0:  # type: ignore[union-attr]
        scales = None
    if scales is not None:
        own = op.Gather(scales, op.ints([_axes(call).index(axis)]))
        scales = op.Concat(
            op.constant([1.0, 1.0], ir.DataType.FLOAT), own, op.constant([2.0], ir.DataType.FLOAT), axis=0
        )
    else:
        sizes = op.Concat(size, op.ints([1]), op.dim(y, axis), op.ints([2]), axis=0)
    region = _region_along(op, call, axis) if _crops(call) else None
    resized = Call(call.op_type, call.domain, call.version, attributes, (identity, region, scales, sizes), call.outputs)
    rows = op.Gather(op.run(resized), op.ints_scalar(0), axis=3)
    return op.Transpose(op.Squeeze(rows, op.ints([1])), perm=[1, 0])


def _edges(op: Builder, call: Call, axis: int) -> tuple[ir.Value, ir.Value]:
    """Return the start and the end of the region along an axis, [1] each."""
    position, count = _axes(call).index(axis), len(_axes(call))
    region = call.operand(1)
    return op.Gather(region, op.ints([position])), op.Gather(region, op.ints([position + count]))


def _region_along(op: Builder, call: Call, axis: int) -> ir.Value:
    """Return the operand `roi` for a Resize of the identity matrix, which has the shape [in, 1, in, 1]: the region on
    axis 0, all of the other axes."""
    start, end = _edges(op, call, axis)
    zero, one = (op.constant([v], start.dtype) for v in (0, 1))
    return op.Concat(zero, zero, start, zero, one, one, end, one, axis=0)


# ------------------------------------------------------------------------------------------------ matrices by formula


def _float(op: Builder, size: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Convert an int64 [1] to a float scalar."""
    return op.Cast(op.Squeeze(size, op.ints([0])), to=dtype)


def _steps(op: Builder, call: Call, axis: int, dtype: ir.DataType) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return the indices 0, 1, … along an axis of the output, and the lengths of output and input, all as floats."""
    after = op.dim(call.outputs[0], axis)
    steps = op.count_up(after)
    return op.Cast(steps, to=dtype), _float(op, after, dtype), _float(op, op.dim(call.operand(0), axis), dtype)


def _scaled_positions(op: Builder, call: Call, axis: int, dtype: ir.DataType) -> ir.Value:
    """Compute the position in the input of each output element under a keep_aspect_ratio_policy.

    All axes share the scale s, the least (`not_larger`) or the greatest of size / length. The position is
    (i + ½)/s − ½, or i/s (`asymmetric`); `half_pixel_symmetric` shifts it so that the centres coincide.
    """
    steps, after, before = _steps(op, call, axis, dtype)
    lengths = op.Gather(op.shape(call.operand(0)), op.ints(_axes(call)))
    ratios = op.Div(op.Cast(call.operand(3), to=dtype), op.Cast(lengths, to=dtype))
    extreme = op.ReduceMin if _policy(call) == "not_larger" else op.ReduceMax
    scale = extreme(ratios, keepdims=0)
    if _coordinates(call) == "asymmetric":
        return op.Div(steps, scale)
    positions = op.Sub(op.Div(op.Add(steps, 0.5), scale), 0.5)
    if _coordinates(call) == "half_pixel_symmetric":
        return op.Add(positions, op.Mul(op.Sub(before, op.Div(after, scale)), 0.5))
    if _coordinates(call) == "pytorch_half_pixel":
        return op.Where(op.Greater(after, 1.0), positions, op.number(0.0, positions))
    return positions


def _weights(op: Builder, call: Call, axis: int, positions: ir.Value, *, slopes: bool = False) -> ir.Value:
    """Compute the weight of each element at each position, [out, in], or its derivative by the position (`slopes`)."""
    assert positions.dtype is not None
    size = op.dim(call.operand(0), axis)
    excluded = bool(call.attr("exclude_outside", 0)) and _mode(call) == "cubic"
    if _mode(call) == "cubic":
        taps = interpolation.cubic(op, positions, float(call.attr("cubic_coeff_a", -0.75)))
    else:
        taps = interpolation.linear(op, positions)
    n = _float(op, size, positions.dtype)
    taps = [interpolation.inside(op, tap, n, zeros=excluded) for tap in taps]
    matrix = interpolation.matrix(op, taps, size)
    if excluded:
        total = op.ReduceSum(matrix, op.ints([1]), keepdims=1)
        matrix = op.Div(matrix, total)
    if not slopes:
        return matrix
    steep = interpolation.matrix(op, taps, size, slopes=True)
    if excluded:
        steep = op.Div(op.Sub(steep, op.Mul(matrix, op.ReduceSum(steep, op.ints([1]), keepdims=1))), total)
    return steep


def _by_region(op: Builder, call: Call, r: ir.Value) -> ir.Value:
    """Compute the derivative by the region's edges, through the positions that the output reads.

    They are `(n − 1)·(start + (end − start)·t)` for t from 0 to 1. Positions outside of the input read the
    extrapolation value and have no derivative.
    """
    assert r.dtype is not None
    x, rank = call.operand(0), call.rank()
    starts, ends = [], []
    for axis in _axes(call):
        steps, after, before = _steps(op, call, axis, r.dtype)
        end = op.Sub(before, 1.0)
        several = op.Greater(after, 1.0)
        t = op.Where(several, op.Div(steps, op.Max(op.Sub(after, 1.0), op.number(1.0, after))), op.number(0.5, after))
        first, last = _edges(op, call, axis)
        positions = op.Mul(end, op.Add(first, op.Mul(op.Sub(last, first), t)))
        inside = op.And(op.GreaterOrEqual(positions, 0.0), op.LessOrEqual(positions, end))
        # The rows are Σ r·x over all other axes, [out, in].
        others = [a for a in range(rank) if a != axis]
        left = op.Transpose(_back(op, call, r, others), perm=[axis, *others])
        right = op.Transpose(x, perm=[axis, *others])
        rows = op.MatMul(
            op.Flatten(left, axis=1),
            op.Transpose(op.Flatten(right, axis=1), perm=[1, 0]),
        )
        slopes = op.Mul(rows, _weights(op, call, axis, positions, slopes=True))
        g = op.Mul(op.ReduceSum(slopes, op.ints([1]), keepdims=0), end)
        g = op.Where(inside, g, op.number(0.0, g))
        ends.append(op.ReduceSum(op.Mul(g, t), op.ints([0]), keepdims=1))
        starts.append(op.ReduceSum(op.Mul(g, op.Sub(1.0, t)), op.ints([0]), keepdims=1))
    return op.Concat(*starts, *ends, axis=0)


@decomposed("Upsample")
def upsample(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the Resize that replaced it in opset 10."""
    mode = call.attr("mode", "nearest")
    options = {"coordinate_transformation_mode": "asymmetric", "mode": mode, "nearest_mode": "floor"}
    return [op.Resize(call.operand(0), None, call.operand(1), **options)]
