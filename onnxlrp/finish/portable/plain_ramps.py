"""Pass that writes ramps without HardSigmoid, because OpenVINO takes an offset of 0 for the default of 0.5.

`findings/hard_sigmoid_zero.sh` shows it.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.provenance import is_relevance


def plain_ramps(op: Builder) -> None:
    """Write `min(max(α·x + β, 0), 1)` of the relevance part by a product, a sum and a Clip."""
    for node in [n for n in op.graph if n.op_type == "HardSigmoid" and n.domain == "" and is_relevance(n)]:
        x, out = node.inputs[0], node.outputs[0]
        assert x is not None
        slope, offset = (node.attributes.get_float(name, default) for name, default in (("alpha", 0.2), ("beta", 0.5)))
        line = op.Mul(x, slope) if not offset else op.Add(op.Mul(x, slope), offset)
        ramp = op.Clip(line, op.number(0.0, x), op.number(1.0, x))
        ramp.type, ramp.shape = out.type, out.shape
        ir.convenience.replace_all_uses_with(out, ramp, replace_graph_outputs=True)
        op.graph.remove(node, safe=True)
