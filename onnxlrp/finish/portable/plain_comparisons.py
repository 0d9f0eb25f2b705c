"""Pass that writes comparisons that some runtimes lack by those that all of them have."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.provenance import is_relevance

_OPPOSITE = {"GreaterOrEqual": "Less", "LessOrEqual": "Greater"}


def plain_comparisons(op: Builder) -> None:
    """Write `a ≥ b` of the relevance part as `not a < b`, and `a ≤ b` as `not a > b`.

    They differ only where a number is NaN, for which no relevance is defined.
    """
    for node in [n for n in op.graph if n.op_type in _OPPOSITE and n.domain == "" and is_relevance(n)]:
        compared = getattr(op, _OPPOSITE[node.op_type])(*node.inputs)
        ir.convenience.replace_all_uses_with(node.outputs[0], op.Not(compared), replace_graph_outputs=True)
        op.graph.remove(node, safe=True)
