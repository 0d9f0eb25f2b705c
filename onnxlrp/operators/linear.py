"""Transposes of convolutions and matrix products in each operand, with the other operands held fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.memory import check_elements
from onnxlrp.operators import windows
from onnxlrp.operators.registry import LayerForm, all_operands, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _bias_back(op: Builder, call: Call, r: ir.Value) -> ir.Value:
    """Carry `r` back to a bias: the sum over each channel, [M]."""
    return op.ReduceSum(r, op.ints([0, *range(2, call.rank())]), keepdims=0)


def _kernel_back(
    op: Builder, call: Call, x: ir.Value, r: ir.Value, begins: windows.Pads, ends: windows.Pads
) -> ir.Value:
    """Carry `r` back to a kernel [M, C/g, k…]: the sum of x·r over samples and positions.

    It is a convolution of x with r as the kernel: samples take the role of channels, and stride and dilation swap.
    """
    w, group = call.operand(1), int(call.attr("group", 1))
    spatial = call.rank(1) - 2
    rest = list(range(spatial))
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    if not all(isinstance(p, int) for p in (*begins, *ends)):
        x = op.Pad(x, windows.vector(op, [0, 0, *begins, 0, 0, *ends]))
        begins = ends = [0] * spatial
    pads = [int(p) for p in (*begins, *ends)]  # type: ignore[arg-type]
    # x turns from [N, C, …] into [C/g, g·N, …], and r from [N, M, …] into [M, N, …].
    apart = op.Concat(op.dim(x, 0), op.ints([group]), op.Div(op.dim(x, 1), op.ints([group])), op.shape(x, 2), axis=0)
    turned = op.Transpose(op.Reshape(x, apart), perm=[2, 1, 0, *(a + 3 for a in rest)])
    samples = op.Concat(op.Div(op.dim(x, 1), op.ints([group])), op.ints([-1]), op.shape(x, 2), axis=0)
    kernel = op.Transpose(r, perm=[1, 0, *(a + 2 for a in rest)])
    full = op.Conv(op.Reshape(turned, samples), kernel, strides=dilations, dilations=strides, group=group, pads=pads)
    # Elements that the strides leave over yield extra rows, which belong to no position of the kernel.
    cut = op.Slice(full, op.ints([0] * spatial), op.shape(w, 2), op.ints([a + 2 for a in rest]))
    return op.Transpose(cut, perm=[1, 0, *(a + 2 for a in rest)])


@linear("Conv", operands=all_operands, layer=LayerForm("convolution", ((0, 1),), bias=2))
def conv(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule, with the transposed convolution; if the kernel is data, it takes the
    composite's rule for products of data."""
    x, w = call.operand(0), call.operand(1)
    if operand == 2:
        return _bias_back(op, call, r)
    group = int(call.attr("group", 1))
    spatial = call.rank(1) - 2
    kernel = op.dims(w)[2:]
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    begins, ends = windows.pads(op, call, kernel)
    if operand == 1:
        return _kernel_back(op, call, x, r, begins, ends)
    extent = windows.kernel_extent(kernel, dilations)
    pads = [p for p in (*begins, *ends) if isinstance(p, int)]
    known = len(pads) == 2 * spatial
    left: list[int] = [k - p for k, p in zip(extent * 2, pads, strict=False)]
    if set(strides) == {1} and known and min(left) >= 0:
        back = _flipped(op, w, group)
        if group == 1 and set(dilations) == {1} and _in_fours(op.dims(x), kernel):
            return _sub_pixel(op, r, back, left)
        return op.Conv(r, back, dilations=dilations, group=group, pads=left)
    options = {"strides": strides, "dilations": dilations, "group": group}
    sizes, outs = op.dims(x)[2:], op.dims(r)[2:]
    if not known or None in sizes or None in outs:
        back = op.ConvTranspose(r, w, output_padding=[s - 1 for s in strides], **options)
        return windows.crop(op, back, begins, x)
    # Elements that the strides leave over at the end are restored by output padding.
    over = [
        int(sizes[a] or 0) - 1 - (int(outs[a] or 0) - 1) * strides[a] - extent[a] + pads[a] + pads[a + spatial]
        for a in range(spatial)
    ]
    around = left[:spatial] + [k - s + 1 + o for k, s, o in zip(left[spatial:], strides, over, strict=True)]
    alone = op.dims(w)[:2] == [group, 1]
    if alone and strides == [2, 2] and min(around) >= 0 and r.dtype == ir.DataType.FLOAT:
        return op.Conv(_apart(op, r, strides), _flipped(op, w, group), dilations=dilations, group=group, pads=around)
    return op.ConvTranspose(r, w, pads=pads, output_padding=over, **options)


def _flipped(op: Builder, w: ir.Value, group: int) -> ir.Value:
    """Flip a kernel and exchange its channel axes: at stride 1, convolving with the result is the faster transpose."""
    back, kernel = _exchange(op, w, group), op.dims(w)[2:]
    if all(k == 1 for k in kernel):
        return back
    axes, ones = op.ints(range(2, 2 + len(kernel))), op.ints([-1] * len(kernel))
    return op.Slice(back, ones, op.ints([-(2**31)] * len(kernel)), axes, ones)


def _apart(op: Builder, r: ir.Value, strides: list[int]) -> ir.Value:
    """Spread [N, C, H, W] to [N, C, sH, tW] with zeros in between.

    If each channel has its own kernel, a convolution of the result takes a sixth (kernel 5) to two thirds (kernel 3) of
    the time of onnxruntime's transposed convolution.
    """
    check_elements(strides, "the stride of a convolution")
    first = np.zeros((1, 1, *strides))
    first[..., 0, 0] = 1
    times = op.Concat(op.ints([1, 1]), op.shape(r, 2), axis=0)
    return op.Mul(windows.repeat_to_windows(op, r, strides), op.Tile(op.constant(first, ir.DataType.FLOAT), times))


def _in_fours(sizes: list[int | None], kernel: list[int | None]) -> bool:
    """Decide whether the sub-pixel form is faster for a picture of these sizes, as it is for few channels.

    A convolution computes 16 channels at once. On onnxruntime's CPU, from 64 channels back to a picture's 3 with kernel
    3, the form took 2.1 ms instead of 3.2. With kernel 1 or many channels it gains nothing, and at stride 2 and more
    the transposed convolution was faster in each of seven shapes.
    """
    if len(kernel) != 2 or any(k is None or k < 3 for k in kernel) or None in sizes[1:]:
        return False
    channels, height, width = (int(size or 0) for size in sizes[1:])
    return channels <= 4 and height % 2 == 0 and width % 2 == 0


def _sub_pixel(op: Builder, r: ir.Value, kernel: ir.Value, pads: list[int]) -> ir.Value:
    """Compute a convolution at stride 1 as one at stride 2 whose channels are the 2 × 2 pixels of each place (Shi et
    al. 2016, arXiv 1609.05158)."""
    shifts = [(down, along) for down in (0, 1) for along in (0, 1)]
    shifted = [op.Pad(kernel, op.ints([0, 0, a, b, 0, 0, 1 - a, 1 - b])) for a, b in shifts]
    apart = op.Conv(r, op.Concat(*shifted, axis=0), strides=[2, 2], pads=pads)
    return op.DepthToSpace(apart, blocksize=2, mode="DCR")


def _exchange(op: Builder, w: ir.Value, group: int) -> ir.Value:
    """Exchange the two channel axes of a kernel within each group: [M, C/g, k…] becomes [C, M/g, k…]."""
    m, c, *kernel = (int(d or 0) for d in op.dims(w))
    rest = list(range(2, 2 + len(kernel)))
    if group == 1:
        return op.Transpose(w, perm=[1, 0, *rest])
    if c == 1 and m == group:
        return w
    split = op.Reshape(w, op.ints([group, m // group, c, *kernel]))
    exchanged = op.Transpose(split, perm=[0, 2, 1, *(a + 1 for a in rest)])
    return op.Reshape(exchanged, op.ints([group * c, m // group, *kernel]))


@linear("ConvTranspose", operands=all_operands, layer=LayerForm("convolution", ((0, 1),), bias=2, channels=0))
def conv_transpose(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule, with the convolution as the transpose; if the kernel is data, it takes the
    composite's rule for products of data."""
    if operand == 2:
        return _bias_back(op, call, r)
    w = call.operand(1)
    spatial = call.rank(1) - 2
    kernel = op.dims(w)[2:]
    strides = call.ints("strides", [1] * spatial)
    dilations = call.ints("dilations", [1] * spatial)
    begins = windows.transposed_pads(op, call, kernel)
    padded, pads = windows.pad_to_size(op, r, call.operand(0), begins, kernel, strides, dilations)
    if operand == 1:
        return _kernel_back(op, call, padded, call.operand(0), pads[:spatial], pads[spatial:])
    return op.Conv(padded, w, strides=strides, dilations=dilations, group=int(call.attr("group", 1)), pads=pads)


@linear("MatMul", operands=lambda call: (0, 1), layer=LayerForm("dense", ((0, 1), (1, 0))))
def matmul(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule if one operand is constant, else the composite's rule for products of data."""
    a, b = call.operand(0), call.operand(1)
    other, like = (b, a) if operand == 0 else (a, b)
    turned = _turned(op, other)
    back = op.MatMul(r, turned) if operand == 0 else op.MatMul(turned, r)
    return op.unbroadcast(back, like)


def _turned(op: Builder, matrices: ir.Value) -> ir.Value:
    """Exchange the last two axes, also of a value of unknown rank."""
    if matrices.shape is not None:
        rank = len(matrices.shape)
        return op.Transpose(matrices, perm=[*range(rank - 2), rank - 1, rank - 2])
    rows, columns = op.Shape(matrices, start=-2, end=-1), op.Shape(matrices, start=-1)
    flat = op.Reshape(matrices, op.Concat(op.ints([-1]), rows, columns, axis=0))
    turned = op.Transpose(flat, perm=[0, 2, 1])
    return op.Reshape(turned, op.Concat(op.Shape(matrices, start=0, end=-2), columns, rows, axis=0))


@linear("Gemm", operands=all_operands, layer=LayerForm("dense", ((0, 1), (1, 0)), bias=2))
def gemm(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule if one operand is constant, else the composite's rule for products of data."""
    # alpha and beta are 1 in a canonical graph; y = A'B' with A' = Aᵀ where transA, B' = Bᵀ where transB.
    if operand == 2:
        return op.unbroadcast(r, call.operand(2))
    turn_a, turn_b = bool(call.attr("transA", 0)), bool(call.attr("transB", 0))
    if operand == 0:
        b = call.operand(1)
        if turn_a:
            return op.Gemm(b, r, transA=int(turn_b), transB=1)
        return op.Gemm(r, b, transB=int(not turn_b))
    a = call.operand(0)
    if turn_b:
        return op.Gemm(r, a, transA=1, transB=int(turn_a))
    return op.Gemm(a, r, transA=int(not turn_a))
