"""A list of concatenations that each begin as another does: `[a, b, c] = [[a, b], c]`, as densely connected networks
have them. Going back, a slice for what is shared and one for what is new is then all there is to do."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Let every Concat take the longest one that it begins with."""
    whole: dict[tuple[int, tuple[ir.Value | None, ...]], ir.Value] = {}
    for node in rewriter.nodes("Concat"):
        operands, axis = tuple(node.inputs), node.attributes["axis"].as_int()
        for length in range(len(operands) - 1, 1, -1):
            shared = whole.get((axis, operands[:length]))
            if shared is not None:
                node.resize_inputs(1 + len(operands) - length)
                for index, operand in enumerate((shared, *operands[length:])):
                    node.replace_input_with(index, operand)
                break
        whole.setdefault((axis, operands), node.outputs[0])
