"""Sliding windows of convolutions and pools: their pads, in every spelling, and the elements that they cover."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, ranked
from onnxlrp.memory import check_elements

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

Pads = Sequence["int | ir.Value"]
"""Pads of each spatial axis: a number, or an int64 [1] where it depends on the size of the input."""


def channels_first(op: Builder, x: ir.Value, last: bool, compute: Callable[[ir.Value], ir.Value]) -> ir.Value:
    """Apply `compute` to x with channels on axis 1; with `last`, channels are the last axis of x and of the result."""
    if not last:
        return compute(x)
    rank = len(op.dims(x))
    y = compute(op.Transpose(x, perm=[0, rank - 1, *range(1, rank - 1)]))
    return op.Transpose(y, perm=[0, *range(2, rank), 1])


def pads(op: Builder, call: Call, kernel: Sequence[int | None]) -> tuple[Pads, Pads]:
    """Compute the pads before and after each spatial axis of operand 0, for any `auto_pad`."""
    spatial = len(kernel)
    auto = call.attr("auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * spatial, [0] * spatial
    if auto == "NOTSET":
        both = call.ints("pads", [0] * 2 * spatial)
        return both[:spatial], both[spatial:]
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    begins: list[int | ir.Value] = []
    ends: list[int | ir.Value] = []
    for axis in range(spatial):
        total = _same(op, call.operand(0), axis + 2, (int(kernel[axis] or 0) - 1) * dilations[axis] + 1, strides[axis])
        if isinstance(total, int):
            small, large = total // 2, total - total // 2
            begins.append(small if auto == "SAME_UPPER" else large)
            ends.append(large if auto == "SAME_UPPER" else small)
        else:
            half = op.Div(total, op.ints([2]))
            rest = op.Sub(total, half)
            begins.append(half if auto == "SAME_UPPER" else rest)
            ends.append(rest if auto == "SAME_UPPER" else half)
    return begins, ends


def _same(op: Builder, x: ir.Value, axis: int, kernel_extent: int, stride: int) -> int | ir.Value:
    """Compute the total padding that yields ceil(size / stride) windows of `kernel_extent` elements."""
    size = op.dims(x)[axis]
    if size is not None:
        return max((-(-size // stride) - 1) * stride + kernel_extent - size, 0)
    if stride == 1:
        return kernel_extent - 1
    length = op.dim(x, axis)
    windows = op.Div(op.Add(length, op.ints([stride - 1])), op.ints([stride]))
    needed = op.Sub(op.Add(op.Mul(op.Sub(windows, op.ints([1])), op.ints([stride])), op.ints([kernel_extent])), length)
    return op.Max(needed, op.ints([0]))


def kernel_extent(kernel: Sequence[int | None], dilations: Sequence[int]) -> list[int]:
    """Compute the distance from a window's first element to its last, for each spatial axis."""
    return [(int(k or 1) - 1) * d for k, d in zip(kernel, dilations, strict=True)]


def vector(op: Builder, numbers: Pads) -> ir.Value:
    """Join numbers, some known only at run time, into one int64 vector."""
    if all(isinstance(n, int) for n in numbers):
        return op.ints([int(n) for n in numbers])  # type: ignore[arg-type]
    return op.Concat(*(op.ints([n]) if isinstance(n, int) else n for n in numbers), axis=0)


def crop(op: Builder, padded: ir.Value, begins: Pads, like: ir.Value) -> ir.Value:
    """Cut each spatial axis to the size of `like`, beginning at `begins`; `output_padding` cannot do this for sizes
    that are known only at run time."""
    spatial = len(begins)
    if all(b == 0 for b in begins if isinstance(b, int)) and all(isinstance(b, int) for b in begins):
        sizes, wanted = op.dims(padded)[2:], op.dims(like)[2:]
        if sizes == wanted and None not in sizes:
            return padded
    start = vector(op, begins)
    end = op.Add(start, op.shape(like, 2))
    return op.Slice(padded, start, end, op.ints(range(2, 2 + spatial)))


def transposed_pads(op: Builder, call: Call, kernel: Sequence[int | None]) -> Pads:
    """Compute the pads that a ConvTranspose cuts off at the start of each spatial axis."""
    spatial = len(kernel)
    auto = call.attr("auto_pad", "NOTSET")
    output_shape = call.attr("output_shape")
    if auto == "VALID" and output_shape is None:
        return [0] * spatial
    if auto == "NOTSET" and output_shape is None:
        return call.ints("pads", [0] * 2 * spatial)[:spatial]
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    extra = call.ints("output_padding", [0] * spatial)
    begins: list[int | ir.Value] = []
    for axis in range(spatial):
        width = (int(kernel[axis] or 0) - 1) * dilations[axis] + 1
        if output_shape is None:
            # SAME: the output is stride × input, so the input's size drops out of the total.
            total: int | ir.Value = max(width + extra[axis] - strides[axis], 0)
        else:
            total = _surplus(op, call.operand(0), axis + 2, strides[axis], width + extra[axis] - output_shape[axis])
        # With an output_shape and no auto_pad the larger half is at the start, as in SAME_LOWER.
        odd = 0 if auto == "SAME_UPPER" else 1
        begins.append(
            (total + odd) // 2 if isinstance(total, int) else op.Div(op.Add(total, op.ints([odd])), op.ints([2]))
        )
    return begins


def _surplus(op: Builder, x: ir.Value, axis: int, stride: int, rest: int) -> int | ir.Value:
    """Compute by how much a transposed convolution exceeds its output_shape along an axis with n elements: stride·(n −
    1) + rest, at least 0, where `rest` is what does not depend on n."""
    size = op.dims(x)[axis]
    if size is not None:
        return max(stride * (size - 1) + rest, 0)
    surplus = op.Add(op.Mul(op.Sub(op.dim(x, axis), op.ints([1])), op.ints([stride])), op.ints([rest]))
    return op.Max(surplus, op.ints([0]))


def pad_to_size(
    op: Builder,
    r: ir.Value,
    like: ir.Value,
    begins: Pads,
    kernel: Sequence[int | None],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[ir.Value, list[int]]:
    """Return `r` and the pads with which a convolution, the transpose of a ConvTranspose, has outputs of `like`'s size.

    The pads at the start are those of the ConvTranspose; the pads at the end complete (n − 1)·stride + width elements,
    n being the size of `like`. Negative pads are cut off `r` itself.
    """
    spatial = len(kernel)
    width = [k + 1 for k in kernel_extent(kernel, dilations)]
    sizes, outs = op.dims(like)[2:], op.dims(r)[2:]
    front = [b for b in begins if isinstance(b, int)]
    if None not in sizes and None not in outs:
        ends_pads = [
            (int(n or 0) - 1) * s + k - int(o or 0) - b
            for n, s, k, o, b in zip(sizes, strides, width, outs, front, strict=True)
        ]
        if min(front + ends_pads) >= 0:
            return r, front + ends_pads
        extend = [max(v, 0) for v in front], [max(v, 0) for v in ends_pads]
        cut_front, cut_behind = [max(-v, 0) for v in front], [max(-v, 0) for v in ends_pads]
        ends = [int(o or 0) - c for o, c in zip(outs, cut_behind, strict=True)]
        r = op.Slice(r, op.ints(cut_front), op.ints(ends), op.ints(range(2, 2 + spatial)))
        return r, extend[0] + extend[1]
    # For sizes known only at run time, pad with zeros, amply at the end, and cut to the length that is needed.
    ample = op.Pad(r, vector(op, [0, 0, *begins, 0, 0, *(k + s for k, s in zip(width, strides, strict=True))]))
    length = op.Add(op.Mul(op.Sub(op.shape(like, 2), op.ints([1])), op.ints(strides)), op.ints(width))
    cut = op.Slice(ample, op.ints([0] * spatial), length, op.ints(range(2, 2 + spatial)))
    return cut, [0] * 2 * spatial


def window_indices(
    op: Builder, y: ir.Value, axis: int, kernel: int, stride: int, dilation: int, begin: int | ir.Value
) -> ir.Value:
    """Compute the input positions that the window of each output covers, int64 [outputs, kernel]; positions in the pads
    are negative or past the end."""
    outputs = op.Squeeze(op.dim(y, axis), op.ints([0]))
    starts = op.Mul(op.Range(op.ints_scalar(0), outputs, op.ints_scalar(1)), op.ints_scalar(stride))
    front = op.ints_scalar(begin) if isinstance(begin, int) else begin
    check_elements([kernel], "the window of a pooling node")
    offsets = op.constant(np.arange(kernel, dtype=np.int64)[None] * dilation)
    return op.Add(op.Unsqueeze(op.Sub(starts, front), op.ints([1])), offsets)


def repeat_to_windows(op: Builder, r: ir.Value, kernel: list[int]) -> ir.Value:
    """Repeat each element over its window, for windows that neither overlap nor leave gaps."""
    if r.dtype == ir.DataType.FLOAT and len(kernel) == 2:
        # A Resize is one pass, also in onnxruntime's blocked layout, which its CPU has for float32 only.
        scales = op.constant([1, 1, *kernel], ir.DataType.FLOAT)
        places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        resized = op.Resize(r, None, scales, mode="nearest", **places)
        # Shape inference of Resize loses the names of symbolic sizes.
        sizes = (int(d or 0) * k for d, k in zip(op.dims(r)[2:], kernel, strict=True))
        resized.shape = ir.Shape([*ranked(r)[:2], *sizes])
        return resized
    for axis in reversed(range(len(kernel))):
        r = interleave(op, [r] * kernel[axis], axis)
    return r


def interleave(op: Builder, parts: Sequence[ir.Value], axis: int) -> ir.Value:
    """Take one element of each part in turn along a spatial axis; sizes from that axis on must be known.

    A Concat along a new last axis takes as long as an addition; an Expand takes ten times, a Transpose twenty times as
    long.
    """
    if len(parts) == 1:
        return parts[0]
    front = [0] * (axis + 2)
    size, *rest = (int(d or 0) for d in op.dims(parts[0])[axis + 2 :])
    apart = [op.Reshape(part, op.ints([*front, size, 1, *rest])) for part in parts]
    return op.Reshape(op.Concat(*apart, axis=axis + 3), op.ints([*front, size * len(parts), *rest]))
