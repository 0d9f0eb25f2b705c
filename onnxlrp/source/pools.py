"""Pools with `ceil_mode`, written so that shape inference counts their windows right.

A window that would start behind the input, in the trailing pads, does not exist; onnx's shape inference counts it all
the same (a pool of 3 with stride 3 and pads 1 makes 2 of 5 elements, not 3). Trailing pads that no window reaches are
taken off, which changes no value: then no such window is counted.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.call import Call


def settle(graph: ir.Graph) -> bool:
    """Rewrite the first pool that has such a window; whether there was one. Shapes must be inferred anew then."""
    return any(_settle(node) for node in graph.all_nodes() if node.op_type in ("MaxPool", "AveragePool", "LpPool"))


def _settle(node: ir.Node) -> bool:
    call = Call.of(node)
    x = call.operand(0)
    if node.domain or not call.attr("ceil_mode", 0) or call.attr("auto_pad", "NOTSET") != "NOTSET" or x.shape is None:
        return False
    kernel = call.ints("kernel_shape")
    rank = len(kernel)
    strides, dilations = call.ints("strides", [1] * rank), call.ints("dilations", [1] * rank)
    pads = call.ints("pads", [0] * 2 * rank)
    ends, rounded = pads[rank:], False
    for axis, (size, k, stride, d) in enumerate(zip(x.shape[2:], kernel, strides, dilations, strict=True)):
        if not isinstance(size, int):
            continue
        width, front = (k - 1) * d + 1, pads[axis]
        room = size + front + ends[axis] - width
        if room % stride and (room // stride + 1) * stride >= size + front:
            ends[axis] -= room % stride
        else:
            rounded = rounded or room % stride > 0
    if ends == pads[rank:]:
        return False
    if min(ends) >= 0:
        node.attributes["pads"] = ir.AttrInt64s("pads", pads[:rank] + ends)
    elif rounded:
        return False  # a kernel shorter than its stride, and another axis that needs to be rounded up
    else:
        del node.attributes["ceil_mode"]
    return True
