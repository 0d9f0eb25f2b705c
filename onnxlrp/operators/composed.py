"""Operators that are written out in others as the model is read, by ONNX's function body or by one given here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import by_function_body, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

by_function_body("LinearAttention", summary="Written out: a recurrence over products.")
by_function_body("CausalConvWithState", summary="Written out: a convolution over the state and the input.")
by_function_body("RotaryEmbedding", summary="Written out: products with constant sines and cosines.")
by_function_body("SwiGLU", summary="Written out: a gated product.")


@decomposed("CenterCropPad")
def center_crop_pad(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a slice and a pad.

    An axis with d elements too many loses ⌊d/2⌋ at its start and the rest at its end; one with d too few gains ⌊d/2⌋
    zeros at its start and the rest at its end.
    """
    x, axes = call.operand(0), [int(a) % call.rank() for a in call.attr("axes", range(call.rank()))]
    wanted = op.known(call.input(1))
    sizes = [op.dims(x)[a] for a in axes]
    where = op.ints(axes)
    if wanted is not None and None not in sizes:
        size, want = np.array(sizes, np.int64), wanted.astype(np.int64)
        cut, fill = np.maximum(size - want, 0), np.maximum(want - size, 0)
        cropped = op.Slice(x, op.ints(cut // 2), op.ints(cut // 2 + np.minimum(size, want)), where) if cut.any() else x
        pads = op.ints([*(fill // 2), *(fill - fill // 2)])
        return [op.Pad(cropped, pads, None, where) if fill.any() or cropped is x else cropped]
    here = op.Gather(op.shape(x), where, axis=0)
    more = op.Sub(here, op.cast(call.operand(1), ir.DataType.INT64))
    nothing, two = op.ints([0]), op.ints([2])
    start = op.Div(op.Max(more, nothing), two)
    cropped = op.Slice(x, start, op.Add(start, op.Min(here, op.Sub(here, more))), where)
    fill = op.Max(op.Neg(more), nothing)
    front = op.Div(fill, two)
    return [op.Pad(cropped, op.Concat(front, op.Sub(fill, front), axis=0), None, where)]


by_function_body(
    "FlexAttention", domain="ai.onnx.preview", summary="Written out: products and softmax, as for Attention."
)


@decomposed("UnfoldTensor", domain="com.microsoft")
def unfold_tensor(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: windows along an axis are gathered, and their places become the last axis."""
    x, rank = call.operand(0), call.rank()
    axis, size, step = int(call.attr("dim", -1)) % rank, int(call.attr("size")), int(call.attr("step", 1))
    end = op.Squeeze(op.plus(op.dim(x, axis), op.ints([1 - size])), op.ints([0]))
    starts = op.Unsqueeze(op.Range(op.ints_scalar(0), end, op.ints_scalar(step)), op.ints([1]))
    windows = op.Gather(x, op.Add(starts, op.ints(range(size))), axis=axis)
    return [op.Transpose(windows, perm=[a for a in range(rank + 1) if a != axis + 1] + [axis + 1])]
