"""Attention over heads, written out as products, mask and softmax: the parts that all attention operators share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_LOWEST = {ir.DataType.FLOAT16: -65504.0, ir.DataType.BFLOAT16: -3.3895313892515355e38}


def split_heads(op: Builder, x: ir.Value, heads: int) -> ir.Value:
    """Reshape [B, S, N·H] to [B, N, S, H]."""
    return op.Transpose(split_last(op, x, heads), perm=[0, 2, 1, 3])


def merge_heads(op: Builder, x: ir.Value) -> ir.Value:
    """Reshape [B, N, S, H] to [B, S, N·H]."""
    return merge_last(op, op.Transpose(x, perm=[0, 2, 1, 3]))


def merge_last(op: Builder, value: ir.Value) -> ir.Value:
    """Merge the last two axes into one, also of an empty batch, for which onnxruntime cannot compute a size of −1."""
    start = len(op.dims(value)) - 2
    merged = op.volume(value, start)
    known, front = op.known(merged), [0] * start
    shape = op.Concat(op.ints(front), merged, axis=0) if known is None else op.ints([*front, int(known[0])])
    return op.Reshape(value, shape)


def split_last(op: Builder, value: ir.Value, count: int) -> ir.Value:
    """Split the last axis into `count` rows of equal width, for an empty batch too."""
    width, front = op.dim(value, -1), [0] * (len(op.dims(value)) - 1)
    known = op.known(width)
    if known is not None:
        return op.Reshape(value, op.ints([*front, count, int(known[0]) // count]))
    each = op.Div(width, op.ints([count]))
    return op.Reshape(value, op.Concat(op.ints([*front, count]), each, axis=0))


def scale_of(op: Builder, call: Call, q: ir.Value) -> ir.Value | float:
    """Return the attribute `scale`, or 1/√H of queries [B, N, S, H] where it is left out."""
    given, width = float(call.attr("scale", 0.0)), op.dims(q)[-1]
    if given or width:
        return given or 1 / math.sqrt(width or 1)
    assert q.dtype is not None
    return op.Reciprocal(op.Sqrt(op.cast(op.dim(q, -1), q.dtype)))


def lowest(op: Builder, like: ir.Value) -> ir.Value:
    """Return the lowest finite number of the type of `like`, which a mask puts in the place of the scores of hidden
    keys."""
    assert like.dtype is not None
    return op.number(lowest_of(like.dtype), like)


def lowest_of(dtype: ir.DataType) -> float:
    """Return the lowest finite number of a type, and for float64 that of float32."""
    return _LOWEST.get(dtype, -3.4028234663852886e38)


def causal(op: Builder, q: ir.Value, k: ir.Value) -> ir.Value:
    """Compute whether a key is no later than a query, bool [S, T]; the last key and the last query coincide."""
    queries, keys = op.dim(q, 2), op.dim(k, 2)
    rows = op.Add(op.count_up(queries), op.Sub(keys, queries))
    return op.LessOrEqual(op.count_up(keys), op.Unsqueeze(rows, op.ints([1])))


def within_length(op: Builder, k: ir.Value, lengths: ir.Value) -> ir.Value:
    """Compute whether a key lies within the length [B] of its sample, bool [B, 1, 1, T]."""
    ends = op.Reshape(op.cast(lengths, ir.DataType.INT64), op.ints([-1, 1, 1, 1]))
    return op.Less(op.count_up(op.dim(k, 2)), ends)


def repeat_heads(op: Builder, x: ir.Value, times: int | ir.Value) -> ir.Value:
    """Repeat each head of [B, N, T, H] in place, to [B, N·times, T, H]; `times` is a number or int64 [1]."""
    if not isinstance(times, ir.Value):
        if times == 1:
            return x
        times = op.ints([times])
    n, h = op.dim(x, 1), op.dim(x, 3)
    wide = op.Concat(op.dim(x, 0), n, times, op.dim(x, 2), h, axis=0)
    flat = op.Concat(op.dim(x, 0), op.Mul(n, times), op.dim(x, 2), h, axis=0)
    return op.Reshape(op.Expand(op.Unsqueeze(x, op.ints([2])), wide), flat)


def scores_of(op: Builder, q: ir.Value, k: ir.Value, scale: ir.Value | float, added: ir.Value | None) -> ir.Value:
    """Compute `scale·q·kᵀ + added`, [B, N, S, T]."""
    product = op.Mul(op.MatMul(q, op.Transpose(k, perm=[0, 1, 3, 2])), scale)
    return product if added is None else op.Add(product, added)


def attend(op: Builder, scores: ir.Value, v: ir.Value) -> ir.Value:
    """Compute `softmax(scores)·v` and merge the heads, [B, S, N·H]."""
    return merge_heads(op, op.MatMul(op.Softmax(scores, axis=-1), v))


def wide(op: Builder, x: ir.Value) -> ir.Value:
    """Cast float16 to float32; leave other types as they are."""
    return op.cast(x, ir.DataType.FLOAT) if x.dtype == ir.DataType.FLOAT16 else x


def total(op: Builder, *parts: ir.Value | None) -> ir.Value | None:
    """Add up the parts that are not None; None where all are."""
    present = [p for p in parts if p is not None]
    if not present:
        return None
    result = present[0]
    for part in present[1:]:
        result = op.Add(result, part)
    return result
