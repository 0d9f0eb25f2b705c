"""Pass that restores the model's own integers once the relevance part is emitted."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.finish.private_copies import copy_quantised_floats, unfused_copy
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.provenance import unmark
from onnxlrp.operators.quantised import DEPLOYED

_MOVED = frozenset({"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
"""Operators through which onnxruntime moves a DequantizeLinear, inserting a QuantizeLinear upstream of it. From opset
21 on that node is wrong if signed bytes are made unsigned afterwards: sessions fail (1.31.1). Signed bytes without a
zero point are moved from opset 21 on only."""


def restore_quantised(op: Builder, lifted: bool) -> None:
    """Replace every `Deployed` node by the model's own value; `lifted` says that the model's opset was below 21."""
    graph = op.graph
    for node in list(graph):
        if node.domain == DEPLOYED:
            own, out = node.inputs[0], node.outputs[0]
            assert own is not None
            name = out.name
            ir.convenience.replace_all_uses_with(out, own, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            own.name = name
    graph.opset_imports.pop(DEPLOYED, None)
    copy_quantised_floats(op)
    shields: dict[ir.Value, ir.Value] = {}
    for node in list(graph):
        value = node.inputs[0] if node.inputs else None
        if value is not None and node.op_type in _MOVED and node.domain == "" and _is_pulled(node, value, lifted):
            if value not in shields:
                shields[value] = unfused_copy(graph, value)
            node.replace_input_with(0, shields[value])
        unmark(node)


def _is_pulled(node: ir.Node, value: ir.Value, lifted: bool) -> bool:
    """Decide whether a node moves dequantised signed bytes to a value that is not just quantised again.

    For a weight, decide whether a session moves its bytes although it did not in the source.
    """
    source = value.producer()
    given = source.inputs[0] if source is not None and source.inputs else None
    if source is None or source.op_type != "DequantizeLinear" or given is None or given.dtype != ir.DataType.INT8:
        return False
    if given.is_initializer():
        return lifted and (len(source.inputs) < 3 or source.inputs[2] is None)
    back = all(u.node.op_type == "QuantizeLinear" for u in node.outputs[0].uses())
    return not back or node.outputs[0].is_graph_output()
