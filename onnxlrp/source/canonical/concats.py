"""Let a concatenation read a shorter one that it begins with: `[a, b, c] = [[a, b], c]`, as in densely connected
networks. The backward pass then takes one slice for the shared part and one for the new part."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, miss
from onnxlrp.source.canonical.common import Rewriter

_Known = dict[tuple[int, tuple["ir.Value | None", ...]], ir.Value]
"""Concatenations by their axis and operands."""


def rewrite(rewriter: Rewriter) -> None:
    """Let every Concat whose first operands are all those of another Concat read the output of the other one, the
    longest if there are several."""
    whole: _Known = {}
    for node in rewriter.nodes("Concat"):
        operands, axis = tuple(node.inputs), node.attributes["axis"].as_int()
        attempt("does not begin with another Concat", node, _begin, node, axis, operands, whole)
        whole.setdefault((axis, operands), node.outputs[0])


def _begin(node: ir.Node, axis: int, operands: tuple[ir.Value | None, ...], whole: _Known) -> bool:
    for length in range(len(operands) - 1, 1, -1):
        shared = whole.get((axis, operands[:length]))
        if shared is not None:
            node.resize_inputs(1 + len(operands) - length)
            for index, operand in enumerate((shared, *operands[length:])):
                node.replace_input_with(index, operand)
            return True
    miss(f"no Concat upstream joins the first of its {len(operands)} operands along axis {axis}")
    return False
