"""Rewrite pools with `ceil_mode` so that shape inference counts their windows correctly.

A window that would start in the trailing pads, after the end of the input, does not exist, but onnx's shape inference
counts it (it makes 3 elements of 5 for a pool of 3 with stride 3 and pads 1, where there are 2). Trailing pads that no
window reaches are removed, which changes no value, and then no such window is counted.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.call import Call


def settle(graph: ir.Graph) -> bool:
    """Rewrite the first pool that has a window which would start in its trailing pads; returns True if there was one.
    Shapes must then be inferred anew."""
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
        return False  # The kernel is shorter than its stride, and another axis must be rounded up.
    else:
        del node.attributes["ceil_mode"]
    return True
