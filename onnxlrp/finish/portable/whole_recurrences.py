"""Pass that lets recurrent layers name all of their outputs, because OpenCV takes a lone one for the last state."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.names import Names

_OUTPUTS = {"RNN": 2, "GRU": 2, "LSTM": 3}


def name_all_states(graph: ir.Graph) -> None:
    """Give each recurrent layer of a graph its last states as outputs, also where nothing reads them."""
    names = Names(graph)
    for node in graph:
        count = _OUTPUTS.get(node.op_type, 0) if node.domain == "" else 0
        if len(node.outputs) < count:
            first = len(node.outputs)
            node.resize_outputs(count)
            for index in range(first, count):
                node.outputs[index].name = names.unique(f"{node.name}_state_{index}")
