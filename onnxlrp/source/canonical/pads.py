"""A Pad in front of a convolution or a max pool is part of its pads: `conv(pad(x, p); q) = conv(x; p + q)`.

Of zeros there, of −∞ here, which no maximum is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.graph.readers import is_read
from onnxlrp.operators import windows
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Merge constant pads of spatial axes into every layer and pool that reads them, the nearest first."""
    for node in reversed(rewriter.nodes("Pad")):
        found = attempt("is not merged into a window", node, _spatial, rewriter, node)
        if found is None:
            continue
        pads, fill = found
        for consumer in node.outputs[0].consumers():
            if consumer.domain == "" and consumer.inputs[0] is node.outputs[0]:
                what = f"is not merged into {consumer.op_type} {consumer.name!r}"
                attempt(what, node, _merge, rewriter, consumer, node, pads, fill)
        if not is_read(node.outputs[0]):
            rewriter.absorbed[str(node.outputs[0].name)] = "the window downstream of it"


def _spatial(rewriter: Rewriter, node: ir.Node) -> tuple[list[int], float] | None:
    """The pads, begins then ends of each spatial axis, and the number that is put there, None where this Pad does
    anything else."""
    call = Call.of(node)
    known, fill, axes = (rewriter.op.known(call.input(i)) for i in (1, 2, 3))
    x = call.operand(0)
    if call.attr("mode", "constant") != "constant":
        return miss(f"it pads in mode {call.attr('mode')!r}")
    if known is None or (call.input(2) is not None and fill is None) or (call.input(3) is not None and axes is None):
        return miss("its pads, its number or its axes are known only when the model runs")
    if x.shape is None or known.min(initial=0) < 0:
        return miss("the rank of its input is not known, or a pad is negative")
    rank = len(x.shape)
    where = range(rank) if axes is None else [int(a) % rank for a in axes]
    begins, ends = [0] * rank, [0] * rank
    half = len(known) // 2
    for index, axis in enumerate(where):
        begins[axis], ends[axis] = int(known[index]), int(known[index + half])
    number = 0.0 if fill is None or not fill.size else float(fill.item())
    return miss("it pads axis 0 or 1") if any(begins[:2] + ends[:2]) else (begins[2:] + ends[2:], number)


def _merge(rewriter: Rewriter, consumer: ir.Node, node: ir.Node, pads: list[int], fill: float) -> bool:
    """Add the pads to those of a window; returns False where that cannot be done."""
    size = _window(rewriter, consumer, fill)
    if size is None:
        return False
    begins, ends = windows.pads(rewriter.op, Call.of(consumer), size)
    own = [p for p in (*begins, *ends) if isinstance(p, int)]
    if not holds(len(own) == len(pads), "the SAME pads of the window are known only when the model runs"):
        return False
    merged = [a + b for a, b in zip(own, pads, strict=True)]
    whole = consumer.op_type == "MaxPool" and any(p >= (k or 0) for p, k in zip(merged, (*size, *size), strict=True))
    if not holds(not whole, "a window would hold nothing but pads"):
        return False
    consumer.attributes.pop("auto_pad", None)
    consumer.attributes["pads"] = ir.AttrInt64s("pads", merged)
    consumer.replace_input_with(0, node.inputs[0])
    return True


def _window(rewriter: Rewriter, consumer: ir.Node, fill: float) -> Sequence[int | None] | None:
    """The size of the window to whose own pads such pads may be added, None where they may not."""
    call = Call.of(consumer)
    if consumer.op_type == "Conv" and fill == 0:
        weight = call.operand(1)
        known = weight is not call.operand(0) and weight.shape is not None
        return rewriter.op.dims(weight)[2:] if holds(known, "the shape of the kernel is not known") else None
    if consumer.op_type == "MaxPool" and fill == -math.inf:
        whole = not call.attr("ceil_mode", 0) and len(consumer.outputs) == 1
        usual = holds(whole, "the pool rounds its size up, or its indices are read")
        return call.ints("kernel_shape") if usual else None
    return miss(f"pads of {fill:g} are merged into {'a MaxPool' if fill == -math.inf else 'a Conv'} only")
