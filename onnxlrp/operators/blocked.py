"""Removal of the blocked layout that onnxruntime's CPU optimiser writes: channels in blocks of b, `[N, C/b, H, W, b]`.

A blocked value claims the shape `[N, C, H, W]`, with C rounded up to whole blocks. All operators that onnxruntime puts
between two reorders compute the same on both layouts, so a blocked value becomes the plain one with padding channels:
a convolution's weights are put back in order, and a reorder adds or removes the padding. Either all blocked nodes of a
file are rewritten or none, because a mixture of layouts would be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import made_by
from onnxlrp.operators.block_size import block_size
from onnxlrp.operators.fused_convolutions import activate, convolve, refuse_activation
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft.nchwc"
_KNOWN = (
    "Conv",
    "MaxPool",
    "AveragePool",
    "GlobalMaxPool",
    "GlobalAveragePool",
    "ReorderInput",
    "ReorderOutput",
    "Upsample",
)
_WAY_OUT = "optimise at level EXTENDED at most, or convert the model that was not optimised"
_KEY = "onnxlrp.blocks"


def _refuse(call: Call) -> str | None:
    """Return why a blocked node of the graph cannot be rewritten, for the first such node; None if all can be."""
    node = call.outputs[0].producer()
    graph = None if node is None else node.graph
    if not isinstance(graph, ir.Graph):
        return f"its graph is not known: {_WAY_OUT}"
    if _KEY not in graph.meta:
        nodes = [n for n in graph if n.domain == DOMAIN]
        graph.meta[_KEY] = block_size(nodes), next(_reasons(nodes), None)
    size, reason = graph.meta[_KEY]
    if reason is None and size is None:
        reason = "neither the file nor an installed onnxruntime tells how many channels are in a block"
    return None if reason is None else f"the blocked layout cannot be undone ({reason}): {_WAY_OUT}"


def _reasons(nodes: list[ir.Node]) -> Iterator[str]:
    for node in nodes:
        call = Call.of(node)
        if node.op_type not in _KNOWN:
            yield f"{node.op_type} {node.name!r} is not known"
        if node.op_type != "Conv":
            continue
        weight = call.operand(1).shape
        if weight is None or len(weight) != 4 or not weight.is_static():
            yield f"the weight of {node.name!r} has no fixed shape of four axes"
        reason = refuse_activation(call)
        if reason is not None:
            yield reason


def _block(op: Builder) -> int:
    size: int = op.graph.meta[_KEY][0]
    return size


@decomposed("Conv", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def conv(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: Conv on weights put back in order, a sum where there is one, then its activation.

    Weights are stored as `[O/b, I, H, W, b]` for inputs that are not blocked and for depthwise convolutions, else as
    `[O/b, I/b, H, W, b of I, b of O]`. A depthwise 1 × 1 convolution that names no window is onnxruntime's spelling of
    a batch norm without a convolution, and becomes a batch norm again.
    """
    x, weight, b = call.operand(0), call.operand(1), _block(op)
    out, into, *kernel = [int(d or 0) for d in op.dims(weight)]
    group = int(call.attr("group", 1))
    if into == 1 and group == out and kernel == [1, 1] and not {"kernel_shape", "strides"} & set(call.attributes):
        return [activate(op, call, _batch_norm(op, call, out), call.input(3))]
    if into >= b:
        lying = op.Reshape(weight, op.ints([out // b, into // b, *kernel, b, b]))
        turned = op.Transpose(lying, perm=[0, 5, 1, 4, 2, 3])
    else:
        lying = op.Reshape(weight, op.ints([out // b, into, *kernel, b]))
        turned = op.Transpose(lying, perm=[0, 4, 1, 2, 3])
    plain = op.Reshape(turned, op.ints([out, into, *kernel]))
    bare = _unfilled(op, x)
    if bare is not None and group == 1:
        # Padding channels are removed from the input, because a flat rule would give them a share.
        x, plain = bare, op.Slice(plain, op.ints([0]), op.dim(bare, 1), op.ints([1]))
    return [activate(op, call, convolve(op, call, x, plain), call.input(3))]


def _batch_norm(op: Builder, call: Call, channels: int) -> ir.Value:
    """Compute `x·w + b` as a batch norm of mean 0 and variance 1."""
    x, bias = call.operand(0), call.input(2)
    zeros, ones = (op.constant(np.full(channels, n), x.dtype) for n in (0, 1))
    scale = op.Reshape(call.operand(1), op.ints([channels]))
    return op.BatchNormalization(x, scale, zeros if bias is None else bias, zeros, ones, epsilon=0.0)


def _unfilled(op: Builder, x: ir.Value) -> ir.Value | None:
    """Return the value to which `reorder_input` added padding channels; None where x is no such result."""
    pad = made_by(x, "Pad")
    if pad is None or len(pad.inputs) != 2:
        return None
    pads = op.known(pad.inputs[1])
    ours = pads is not None and pads.shape == (8,) and not np.delete(pads, 5).any()
    return pad.inputs[0] if ours else None


@decomposed("ReorderInput", domain=DOMAIN, refuse=_refuse)
def reorder_input(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Transpose where channels are last, then a Pad of the channels to whole blocks."""
    x, b = call.operand(0), _block(op)
    x = op.Transpose(x, perm=[0, 3, 1, 2]) if call.attr("channels_last", 0) else x
    channels = op.dims(x)[1]
    if channels is None:
        fill = op.Mod(op.Neg(op.dim(x, 1)), op.ints([b]))
        return [op.Pad(x, op.Concat(op.ints([0] * 5), fill, op.ints([0] * 2), axis=0))]
    fill = -channels % b
    return [op.Pad(x, op.ints([0, 0, 0, 0, 0, fill, 0, 0])) if fill else x]


@decomposed("ReorderOutput", domain=DOMAIN, refuse=_refuse)
def reorder_output(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Slice that removes padding channels, then a Transpose where channels are to be last."""
    x, channels = call.operand(0), int(call.attr("channels"))
    x = x if op.dims(x)[1] == channels else op.Slice(x, op.ints([0]), op.ints([channels]), op.ints([1]))
    return [op.Transpose(x, perm=[0, 2, 3, 1]) if call.attr("channels_last", 0) else x]


@decomposed("MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", domain=DOMAIN, refuse=_refuse)
def pool(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the pool of the same name."""
    return [getattr(op, call.op_type)(call.operand(0), **{k: a.value for k, a in call.attributes.items()})]


@decomposed("Upsample", domain=DOMAIN, refuse=_refuse)
def upsample(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: Resize by whole factors."""
    scales = op.constant(np.array(call.ints("scales"), np.float32))
    mode, places = call.attr("mode", "nearest"), call.attr("coordinate_transformation_mode", "asymmetric")
    options = {"nearest_mode": "floor"} if mode == "nearest" else {}
    return [op.Resize(call.operand(0), None, scales, mode=mode, coordinate_transformation_mode=places, **options)]
