"""Remove Identity nodes, and Dropout nodes at inference: `y = x`."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, holds
from onnxlrp.graph.readers import is_read
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Remove Identity and Dropout nodes, except a Dropout whose mask is read, and a node between an output and a value
    that the graph does not compute itself."""
    for node in rewriter.nodes("Identity", "Dropout"):
        attempt("is not removed", node, _remove, rewriter, node)


def _remove(rewriter: Rewriter, node: ir.Node) -> bool:
    x, y = node.inputs[0], node.outputs[0]
    if x is None or (node.op_type == "Dropout" and not _inert(node)):
        return False
    made_here = (producer := x.producer()) is not None and producer.graph is rewriter.graph
    between = y.is_graph_output() and (not made_here or x.is_graph_output())
    if not holds(not between, f"its output is an output, and {x.name!r} is an input, a constant or an output itself"):
        return False
    if y.is_graph_output():
        rewriter.replace(y, x, f"the output {y.name!r}")
    else:
        ir.convenience.replace_all_uses_with(y, x)
        rewriter.graph.remove(node, safe=True)
    return True


def _inert(node: ir.Node) -> bool:
    """Decide whether a dropout passes its input on, and nothing reads its mask."""
    read = any(map(is_read, node.outputs[1:]))
    training = node.inputs[2] if len(node.inputs) > 2 else None
    off = training is None or (training.const_value is not None and not training.const_value.numpy().any())
    return holds(not read, "its mask is read") and holds(off, "it may be in training mode")
