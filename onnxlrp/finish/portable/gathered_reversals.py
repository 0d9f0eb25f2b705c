"""Pass that reverses axes by Gather, because tract (0.23) fails at some slices that run backwards."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content
from onnxlrp.graph.provenance import is_relevance


def gather_reversals(op: Builder) -> None:
    """Write each Slice of the relevance part that reverses a whole axis of known size as a Gather."""
    for node in [n for n in op.graph if n.op_type == "Slice" and n.domain == "" and is_relevance(n)]:
        axis, value = _reversed_axis(node), node.inputs[0]
        if axis is None or value is None or value.shape is None:
            continue
        size = value.shape[axis]
        if not isinstance(size, int):
            continue
        turned = op.Gather(value, op.ints(range(size - 1, -1, -1)), axis=axis)
        turned.shape, turned.type = node.outputs[0].shape, node.outputs[0].type
        ir.convenience.replace_all_uses_with(node.outputs[0], turned, replace_graph_outputs=True)
        op.graph.remove(node, safe=True)


def _reversed_axis(node: ir.Node) -> int | None:
    """Return the axis that a Slice reverses from its last place to its first; None if it does something else."""
    if len(node.inputs) < 5:
        return None
    numbers = [content(v) for v in node.inputs[1:5]]
    if any(n is None or n.size != 1 for n in numbers):
        return None
    start, end, axis, step = (int(n.ravel()[0]) for n in numbers if n is not None)
    return axis if start == step == -1 and end <= -(2**31) else None
