"""Fourier transforms: products with matrices of cosines and sines, which the transposes build from the sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _waves(
    op: Builder, rows: ir.Value, columns: ir.Value, length: ir.Value, dtype: ir.DataType
) -> tuple[ir.Value, ir.Value]:
    """Build `cos(2πkm/N)` and `sin(2πkm/N)`, [rows k, columns m], N being `length`; sizes are int64 [1].

    k·m is reduced modulo N as an integer, which keeps large angles accurate.
    """
    k, m = op.Unsqueeze(op.count_up(rows), op.ints([1])), op.Unsqueeze(op.count_up(columns), op.ints([0]))
    turns = op.Div(op.cast(op.Mod(op.Mul(k, m), length), dtype), op.cast(length, dtype))
    angles = op.Mul(2 * math.pi, turns)
    return op.Cos(angles), op.Sin(angles)


def _component(op: Builder, value: ir.Value, which: int) -> ir.Value:
    """Slice the real (0) or imaginary (1) part of [A, B, 2, n], to [A, B, 1, n]."""
    return op.Slice(value, op.ints([which]), op.ints([which + 1]), op.ints([2]))


def _spectrum_back(op: Builder, r: ir.Value, columns: ir.Value, length: ir.Value, inverse: bool) -> ir.Value:
    """Carry `r` [A, B, 2, K] back through a transform of N = `length` elements, to [A, B, 2, columns].

    The transform is y = C·x ∓ i·S·x with matrices C of cosines and S of sines. Elements past N, which it never reads,
    get 0.
    """
    assert r.dtype is not None
    cosine, sine = _waves(op, op.Slice(op.Shape(r), op.ints([3]), op.ints([4])), columns, length, r.dtype)
    read = op.cast(op.Less(op.count_up(columns), length), r.dtype)
    cosine, sine = op.Mul(cosine, read), op.Mul(sine, read)
    real, imaginary = _component(op, r, 0), _component(op, r, 1)
    a, b = op.MatMul(real, cosine), op.MatMul(imaginary, sine)
    c, d = op.MatMul(real, sine), op.MatMul(imaginary, cosine)
    if not inverse:
        return op.Concat(op.Sub(a, b), op.Add(c, d), axis=2)
    whole = op.Concat(op.Add(a, b), op.Sub(d, c), axis=2)
    return op.Div(whole, op.cast(length, r.dtype))


def _real_back(op: Builder, r: ir.Value, columns: ir.Value, length: ir.Value) -> ir.Value:
    """Carry `r` [A, B, 1, N] of a real signal back to the half spectrum [A, B, 2, columns] that it is computed from.

    Every frequency but 0 and N/2 stands for two.
    """
    assert r.dtype is not None
    cosine, sine = _waves(op, length, columns, length, r.dtype)
    k = op.count_up(columns)
    twice = op.Mul(k, op.ints_scalar(2))
    once = op.Or(op.Equal(k, op.ints_scalar(0)), op.Equal(twice, length))
    read = op.cast(op.LessOrEqual(twice, length), r.dtype)
    weight = op.Mul(op.Where(once, op.number(1.0, r), op.number(2.0, r)), read)
    weight = op.Div(weight, op.cast(length, r.dtype))
    parts = op.Concat(op.MatMul(r, cosine), op.Neg(op.MatMul(r, sine)), axis=2)
    return op.Mul(parts, weight)


def _around(op: Builder, shape: ir.Value, rank: int, axis: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Return the number of elements along all axes before an axis, its length, and the number along all axes after it
    but the last; int64 [1] each."""
    places = op.ints(range(rank))
    one = op.ints_scalar(1)

    def total(condition: ir.Value) -> ir.Value:
        sizes = op.Cast(op.Where(condition, shape, one), to=ir.DataType.DOUBLE)
        return op.Cast(op.ReduceProd(sizes, keepdims=1), to=ir.DataType.INT64)

    after = op.And(op.Greater(places, axis), op.Less(places, op.ints_scalar(rank - 1)))
    return total(op.Less(places, axis)), op.Gather(shape, axis, axis=0), total(after)


def _axis(op: Builder, call: Call) -> ir.Value:
    """Return the transformed axis, counted from the first, int64 [1]."""
    rank = call.rank()
    given = call.input(2)
    if given is None:
        return op.ints([int(call.attr("axis", -2)) % rank])
    known = op.known(given)
    if known is not None:
        return op.ints([int(known.reshape(-1)[0]) % rank])
    return op.Mod(op.Reshape(op.cast(given, ir.DataType.INT64), op.ints([1])), op.ints([rank]))


@linear("DFT", linearity="sum")
def dft(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm)."""
    x, rank = call.operand(0), call.rank()
    inverse, onesided = bool(call.attr("inverse", 0)), bool(call.attr("onesided", 0))
    before, size, after = _around(op, op.shape(x), rank, axis := _axis(op, call))
    half = inverse and onesided
    if call.input(1) is not None:
        length = op.Reshape(op.cast(call.operand(1), ir.DataType.INT64), op.ints([1]))
    else:
        length = op.Mul(op.Sub(size, op.ints([1])), op.ints([2])) if half else size
    # [before, K, after, real and imaginary] becomes [before, after, 2, K]: matrices multiply along the last axis.
    across = op.Gather(op.Shape(r), axis, axis=0)
    rows = op.Reshape(r, op.Concat(before, across, after, op.ints([1 if half else 2]), axis=0))
    rows = op.Transpose(rows, perm=[0, 2, 3, 1])
    back = _real_back(op, rows, size, length) if half else _spectrum_back(op, rows, size, length, inverse)
    components = op.Slice(back, op.ints([0]), op.dim(x, rank - 1), op.ints([2]))
    return op.Reshape(op.Transpose(components, perm=[0, 3, 1, 2]), op.shape(x), allowzero=1)


@linear("STFT", operands=lambda call: (0, 2))
def stft(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is shared in proportion to the contributions (Norm); if the window is data, it takes the composite's
    rule for products of data."""
    x, window = call.operand(0), call.input(2)
    flat = op.ints([1])
    # onnxruntime also accepts a real signal without the last axis.
    alone = call.rank() == 2
    signal = op.Unsqueeze(x, op.ints([2])) if alone else x
    if call.input(3) is not None:
        length = op.Reshape(op.cast(call.operand(3), ir.DataType.INT64), flat)
    else:
        length = op.dim(window, 0) if window is not None else op.dim(signal, 1)
    step = op.Reshape(op.cast(call.operand(1), ir.DataType.INT64), flat)
    frames = op.Slice(op.Shape(r), op.ints([1]), op.ints([2]))
    # The places are the samples of the signal that each frame reads, [frames, length].
    begins = op.Unsqueeze(op.Mul(op.count_up(frames), step), op.ints([1]))
    places = op.Add(begins, op.Unsqueeze(op.count_up(length), op.ints([0])))
    back = _spectrum_back(op, op.Transpose(r, perm=[0, 1, 3, 2]), length, length, inverse=False)
    components = op.Slice(back, op.ints([0]), op.dim(signal, 2), op.ints([2]))
    components = op.Transpose(components, perm=[0, 1, 3, 2])
    if operand == 2:
        read = op.Gather(signal, places, axis=1)
        return op.ReduceSum(op.Mul(components, read), op.ints([0, 1, 3]), keepdims=0)
    if window is not None:
        components = op.Mul(components, op.Unsqueeze(window, op.ints([1])))
    back = op.scatter_back(components, op.Gather(op.index_grid(signal), places, axis=1), signal)
    return op.Squeeze(back, op.ints([2])) if alone else back
