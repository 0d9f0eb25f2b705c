"""Pass that orders the operands of sums and products in loops, because of a fault of OpenVINO.

With known sizes OpenVINO computes an elementwise operator in the memory of its first operand. Where that is a slice of
a sequence and the result is the next state, all steps after the first read a wrong state
(`findings/openvino_scan_operand.sh`). With the state as first operand they do not.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import graphs_of
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.graph.walks import inputs_of, mark_downstream

_COMMUTE = {"Add", "Mul", "Max", "Min"}


def put_states_first(op: Builder) -> None:
    """Let the first operand be the one that depends on the loop's states, in each body of the relevance part."""
    for node in op.graph:
        if node.op_type in ("Scan", "Loop") and node.domain == "" and is_relevance(node):
            (body,) = graphs_of(node)
            slices = node.attributes.get_int("num_scan_inputs", 0)
            _order(body, set(list(body.inputs)[: len(body.inputs) - slices]))


def _order(body: ir.Graph, states: set[ir.Value]) -> None:
    mark_downstream(body, states, lambda node: node.outputs, inputs_of)
    for node in body:
        if node.op_type in _COMMUTE and node.domain == "" and len(node.inputs) == 2:
            first, second = node.inputs
            if first not in states and second in states:
                node.replace_input_with(0, second)
                node.replace_input_with(1, first)
