"""The model's own integers back in their place, once the relevance part is written."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.emit.apart import compute_apart
from onnxlrp.operators.quantised import DEPLOYED, MARK, OWN

_MOVED = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators that onnxruntime pulls a DequantizeLinear through, putting a QuantizeLinear in front of it. From opset 21
on that node is wrong where signed bytes are made unsigned afterwards: sessions fail (1.31.1)."""


def settle(graph: ir.Graph) -> None:
    """`Deployed` gives way to the model's own value."""
    for node in list(graph):
        if node.domain == DEPLOYED:
            own, out = node.inputs[0], node.outputs[0]
            assert own is not None
            name = out.name
            ir.convenience.replace_all_uses_with(out, own, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            own.name = name
    graph.opset_imports.pop(DEPLOYED, None)
    compute_apart(graph)
    shielded: dict[ir.Value, ir.Value] = {}
    nodes = list(graph)
    for node in nodes:
        if node.op_type in _MOVED and node.domain == "" and _is_pulled(node):
            _shield(graph, node, shielded)
        node.metadata_props.pop(MARK, None)
        node.metadata_props.pop(OWN, None)


def _is_pulled(node: ir.Node) -> bool:
    """Whether a node moves dequantised signed bytes, and not to where they are quantised again."""
    value = node.inputs[0]
    source = None if value is None else value.producer()
    if source is None or source.op_type != "DequantizeLinear":
        return False
    signed = source.inputs[0] is not None and source.inputs[0].dtype == ir.DataType.INT8
    back = all(u.node.op_type == "QuantizeLinear" for u in node.outputs[0].uses())
    return signed and (not back or node.outputs[0].is_graph_output())


def _shield(graph: ir.Graph, node: ir.Node, shielded: dict[ir.Value, ir.Value]) -> None:
    """The node reads a copy of its first operand that no session optimises away: the sum of it alone."""
    value = node.inputs[0]
    if value is None or value.dtype is None or not value.dtype.is_floating_point():
        return
    if value not in shielded:
        copy = ir.Node("", "Sum", [value], num_outputs=1, name=f"lrp.apart.{value.name}")
        copy.outputs[0].name = f"lrp.apart.{value.name}"
        copy.outputs[0].type, copy.outputs[0].shape = value.type, value.shape
        copy.metadata_props["onnxlrp.rule"] = "apart"
        graph.insert_before(node, copy)
        shielded[value] = copy.outputs[0]
    node.replace_input_with(0, shielded[value])
