"""Pass that writes products of the relevance part in another form than a GELU has.

OpenCV (5.0) fuses GELUs by their form, and does not survive some products of the relevance part that look alike.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content
from onnxlrp.graph.provenance import is_relevance


def write_gelus_apart(op: Builder) -> None:
    """Let relevance read x · (erf(x/√2) − (−1)), which is the same number, in the place of x · (1 + erf(x/√2))."""
    for node in [n for n in op.graph if n.op_type == "Erf" and n.domain == "" and not is_relevance(n)]:
        for added in _readers(node.outputs[0], "Add"):
            for product in _readers(added.outputs[0], "Mul"):
                _read_apart(op, node, added, product)


def _readers(value: ir.Value, op_type: str) -> list[ir.Node]:
    return [use.node for use in value.uses() if use.node.op_type == op_type and not is_relevance(use.node)]


def _read_apart(op: Builder, erf: ir.Node, added: ir.Node, product: ir.Node) -> None:
    readers = [use for use in product.outputs[0].uses() if is_relevance(use.node)]
    one = content(next((v for v in added.inputs if v is not erf.outputs[0]), None))
    if not readers or one is None:
        return
    apart = op.Sub(erf.outputs[0], op.constant(np.asarray(-one)))
    copy = op.Mul(*(apart if v is added.outputs[0] else v for v in product.inputs))
    copy.type, copy.shape = product.outputs[0].type, product.outputs[0].shape
    for reader, index in readers:
        reader.replace_input_with(index, copy)
