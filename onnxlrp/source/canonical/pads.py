"""A zero Pad in front of a convolution is part of its pads: `conv(pad(x, p); q) = conv(x; p + q)`."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.operators import windows
from onnxlrp.operators.registry import Call
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Merge constant zero pads of spatial axes into every convolution that reads them, the nearest first."""
    for node in reversed(rewriter.nodes("Pad")):
        pads = _spatial_zeros(rewriter, node)
        if pads is None:
            continue
        for consumer in node.outputs[0].consumers():
            _merge(rewriter, consumer, node, pads)
        if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            rewriter.absorbed[str(node.outputs[0].name)] = "the convolution behind it"


def _spatial_zeros(rewriter: Rewriter, node: ir.Node) -> list[int] | None:
    """The pads, begins then ends of each spatial axis, None where this Pad does anything else."""
    call = Call.of(node)
    known, fill, axes = (rewriter.op.known(call.input(i)) for i in (1, 2, 3))
    x = call.operand(0)
    if call.attr("mode", "constant") != "constant" or known is None or x.shape is None or known.min(initial=0) < 0:
        return None
    if (call.input(2) is not None and fill is None) or (fill is not None and fill.any()):
        return None
    if call.input(3) is not None and axes is None:
        return None
    rank = len(x.shape)
    where = range(rank) if axes is None else [int(a) % rank for a in axes]
    begins, ends = [0] * rank, [0] * rank
    half = len(known) // 2
    for index, axis in enumerate(where):
        begins[axis], ends[axis] = int(known[index]), int(known[index + half])
    return None if any(begins[:2] + ends[:2]) else begins[2:] + ends[2:]


def _merge(rewriter: Rewriter, consumer: ir.Node, node: ir.Node, pads: list[int]) -> None:
    if consumer.op_type != "Conv" or consumer.domain != "" or consumer.inputs[0] is not node.outputs[0]:
        return
    weight = consumer.inputs[1]
    if weight is node.outputs[0] or weight is None or weight.shape is None:
        return
    begins, ends = windows.pads(rewriter.op, Call.of(consumer), rewriter.op.dims(weight)[2:])
    own = [p for p in (*begins, *ends) if isinstance(p, int)]
    if len(own) != len(pads):
        return  # SAME pads of a size that is known only at run time
    consumer.attributes.pop("auto_pad", None)
    consumer.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, pads, strict=True)])
    consumer.replace_input_with(0, node.inputs[0])
