"""Resizing: linear in the image, a matrix along each axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.operators.registry import Call, linear

if TYPE_CHECKING:
    from onnxlrp.builder import Builder


def _crops(call: Call) -> str | None:
    if call.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        return "tf_crop_and_resize has no rule yet"
    if call.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "keep_aspect_ratio_policy has no rule yet"
    return None


@linear(
    "Resize",
    jointly=True,
    pooling=True,
    refuse=_crops,
    routes=lambda call: call.attr("mode", "nearest") == "nearest",
)
def resize(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Linear and cubic: in proportion to the contributions (Norm). Nearest: follows the values."""
    rank = call.rank()
    # The matrix along an axis [out, in] is what the same resize makes of the identity.
    for axis in range(rank):
        if _unchanged(op, call, axis):
            continue
        matrix = _matrix(op, call, axis, r.dtype)
        moved = [a for a in range(rank) if a != axis] + [axis]
        back = op.MatMul(op.Transpose(r, perm=moved), matrix)
        r = op.Transpose(back, perm=[moved.index(a) for a in range(rank)])
    return r


def _unchanged(op: Builder, call: Call, axis: int) -> bool:
    """Whether an axis is known to stay as it is; 3 × 1.3 is 3 elements as well, but other ones."""
    scales, axes = op.known(call.input(2)), [a % call.rank() for a in call.ints("axes", range(call.rank()))]
    if axis not in axes:
        return True
    if scales is not None and scales.size:
        return bool(scales[axes.index(axis)] == 1)
    before, after = call.operand(0).shape, call.outputs[0].shape
    if call.input(3) is None or before is None or after is None:
        return False
    size = before[axis]
    return size == after[axis] and (isinstance(size, int) or size.value is not None)


def _matrix(op: Builder, call: Call, axis: int, dtype: ir.DataType | None) -> ir.Value:
    """What the resize does along one axis, [out, in]."""
    x, y = call.operand(0), call.outputs[0]
    size = op.dim(x, axis)
    length = op.Squeeze(size, op.ints([0]))
    positions = op.Range(op.ints_scalar(0), length, op.ints_scalar(1))
    assert dtype is not None
    # [in, 1, in, 1]: onnxruntime's linear and cubic kernels want a picture. The last axis is doubled, because
    # onnxruntime copies where no size changes, whatever the scale.
    identity = op.Unsqueeze(op.one_hot(op.Unsqueeze(positions, op.ints([1])), size, dtype), op.ints([1, 3]))
    attributes = {k: v for k, v in call.attributes.items() if k not in ("axes",)}
    scales, sizes = call.input(2), call.input(3)
    if scales is not None and op.known(scales) is not None and op.known(scales).size == 0:  # type: ignore[union-attr]
        scales = None
    if scales is not None:
        index = [a % call.rank() for a in call.ints("axes", range(call.rank()))]
        own = op.Gather(scales, op.ints([index.index(axis)]))
        scales = op.Concat(
            op.constant([1.0, 1.0], ir.DataType.FLOAT), own, op.constant([2.0], ir.DataType.FLOAT), axis=0
        )
    else:
        sizes = op.Concat(size, op.ints([1]), op.dim(y, axis), op.ints([2]), axis=0)
    again = Call(call.op_type, call.domain, call.version, attributes, (identity, None, scales, sizes), call.outputs)
    rows = op.Gather(op.run(again), op.ints_scalar(0), axis=3)
    return op.Transpose(op.Squeeze(rows, op.ints([1])), perm=[1, 0])
