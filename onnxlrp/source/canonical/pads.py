"""A zero Pad in front of a convolution is part of its pads: `conv(pad(x, p); q) = conv(x; p + q)`."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.operators.registry import Call
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Merge constant zero pads of spatial axes into every convolution that reads them."""
    for node in rewriter.nodes("Pad"):
        pads = _spatial_zeros(rewriter, node)
        if pads is None:
            continue
        for consumer in node.outputs[0].consumers():
            _merge(consumer, node, pads)
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


def _merge(consumer: ir.Node, node: ir.Node, pads: list[int]) -> None:
    attributes = consumer.attributes
    auto = attributes["auto_pad"].value if "auto_pad" in attributes else "NOTSET"
    mine = consumer.op_type == "Conv" and consumer.domain == "" and consumer.inputs[0] is node.outputs[0]
    if not mine or consumer.inputs[1] is node.outputs[0] or auto not in ("NOTSET", "VALID"):
        return
    own = [0] * len(pads) if auto == "VALID" or "pads" not in attributes else list(attributes["pads"].value)
    attributes.pop("auto_pad", None)
    attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, pads, strict=True)])
    consumer.replace_input_with(0, node.inputs[0])
