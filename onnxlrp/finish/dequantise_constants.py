"""Pass that gives relevance its own copies of dequantised constants, so that sessions still fuse the model's products.

onnxruntime fuses a product with the DequantizeLinear of its weight to one kernel (MatMulNBits, which rounds its input
to eight bits), but only if the integers, scales and zero points each have this one reader, and the floats too. A second
DequantizeLinear of the same integers would prevent it. So relevance reads Cast, Sub and Mul of the integers: these are
folded when a session is created, before it looks for fusions.
"""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call
from onnxlrp.graph.readers import read_copies
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.quantised import is_dequantised, written_out
from onnxlrp.source.constants import constants


def dequantise_again(op: Builder, outputs: Collection[ir.Value]) -> None:
    """Give relevance copies of the dequantised constants that the nodes upstream of `outputs` read."""
    own, fixed, copies = _upstream(outputs), constants(op.graph), dict[ir.Value, ir.Value]()
    op.label("a dequantised constant, as relevance reads it")

    def copy(value: ir.Value) -> ir.Value:
        return _copy(op, value, copies) if value in fixed and not value.is_graph_output() else value

    read_copies(op.graph, own.__contains__, copy)


def _upstream(outputs: Collection[ir.Value]) -> set[ir.Node]:
    """Collect the nodes that outputs are computed by, including those inside their bodies."""
    found = set(upstream(outputs, read_by))
    return found | {inner for node in found for body in bodies(node) for inner in body.graph.all_nodes()}


def _copy(op: Builder, value: ir.Value, copies: dict[ir.Value, ir.Value]) -> ir.Value:
    """Compute a constant again from the integers upstream of it."""
    node = value.producer()
    if node is None or not is_dequantised(value):
        return value
    if value not in copies:
        call = Call.of(node)
        if node.op_type == "DequantizeLinear":
            copies[value] = written_out(op, call)
        else:
            inputs = {i: None if v is None else _copy(op, v, copies) for i, v in enumerate(node.inputs)}
            copies.update(zip(node.outputs, op.run(call.rebind(inputs), len(node.outputs)), strict=True))
    return copies[value]
