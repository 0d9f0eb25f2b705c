"""Turn signed bytes into unsigned ones, `q + 128`, where they are dequantised as soon as they are quantised.

onnxruntime does this on x86 before it fuses, but only if a single DequantizeLinear reads the bytes and a single node
reads its output. When relevance reads that output as well, onnxruntime computes in floats what it computed in integers,
and the model's outputs change. With unsigned bytes from the start, the pair stays as it was.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Rewrite every pair of a QuantizeLinear and a DequantizeLinear on signed bytes that have the same zero point."""
    for node in [n for n in rewriter.graph if n.op_type == "QuantizeLinear"]:
        pair = attempt("stays with signed bytes", node, _pair, rewriter, node)
        if pair is None:
            continue
        (zero,) = {int(z) for n in pair for z in np.ravel(content(n.inputs[2]))}  # type: ignore[arg-type]
        unsigned = rewriter.made(rewriter.op.constant(np.uint8(zero + 128)))
        for member in pair:
            member.replace_input_with(2, unsigned)
            member.attributes.pop("output_dtype", None)
        node.outputs[0].type = ir.TensorType(ir.DataType.UINT8)


def _pair(rewriter: Rewriter, node: ir.Node) -> tuple[ir.Node, ir.Node] | None:
    back = rewriter.sole_consumer(node.outputs[0])
    if back is None or (back.op_type, back.domain) != ("DequantizeLinear", node.domain):
        return miss("no DequantizeLinear alone reads its bytes")
    uses = len(list(back.outputs[0].uses())) + back.outputs[0].is_graph_output()
    zeros = [content(n.inputs[2]) if len(n.inputs) > 2 else None for n in (node, back)]
    known = [z for z in zeros if z is not None and z.dtype == np.int8 and z.size == 1]
    if uses > 1 or len(known) < 2 or known[0].item() != known[1].item():
        return miss("its zero points are not one number of int8, or several nodes read the dequantised value")
    return node, back
