"""Pass that keeps onnxruntime's fusion of convolutions with the clips downstream of them."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.provenance import is_relevance
from onnxlrp.graph.readers import redirect
from onnxlrp.graph.walks import made_by


def clip_rectified(graph: ir.Graph) -> None:
    """Let the model clip the ReLU of a convolution that relevance reads, not the convolution: the values are equal.

    onnxruntime fuses a convolution with an activation only if nothing else reads the convolution. The relevance part's
    ReLU would be a second reader: all of MobileNetV2's convolutions are clipped, and this saves 6 to 12 % of its
    explanation.
    """
    for node in list(graph):
        value = node.inputs[0] if node.op_type == "Relu" and is_relevance(node) else None
        if value is None or made_by(value, "Conv") is None or value.is_graph_output():
            continue
        others = [use for use in value.uses() if use.node is not node]
        if others and all(use.idx == 0 and _clips_from_zero(use.node, graph) for use in others):
            redirect(others, node.outputs[0])


def _clips_from_zero(node: ir.Node, graph: ir.Graph) -> bool:
    """Decide whether a node gives the same result for a value and for its ReLU."""
    low = node.inputs[1] if node.op_type == "Clip" and len(node.inputs) > 1 else None
    number = None if low is None else ir.convenience.get_const_tensor(low)
    return number is not None and bool((number.numpy() >= 0).all()) and node.graph is graph
