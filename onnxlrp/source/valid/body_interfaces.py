"""Check that the bodies of If, Loop and Scan have as many inputs and outputs as their nodes require."""

from __future__ import annotations

import onnx

from onnxlrp.source.valid.refusal import node_refusal
from onnxlrp.source.valid.scope import Scope


def check(node: onnx.NodeProto, scope: Scope) -> None:
    """Raise InvalidModelError if a body does not have the inputs and outputs that its node requires."""
    find = _WANTED.get(node.op_type) if node.domain in ("", "ai.onnx") else None
    if find is None:
        return
    wanted = find(node, scope.opsets.get("", 21))
    for attribute in node.attribute:
        if attribute.type != onnx.AttributeProto.GRAPH:
            continue
        inputs, outputs = len(attribute.g.input), len(attribute.g.output)
        if wanted != (inputs, outputs):
            raise node_refusal(
                node,
                scope.opsets,
                f"its {attribute.name!r} has {inputs} inputs and {outputs} outputs, and must have {wanted[0]} and "
                f"{wanted[1]}",
            )


def _of_if(node: onnx.NodeProto, opset: int) -> tuple[int, int]:
    return 0, len(node.output)


def _of_loop(node: onnx.NodeProto, opset: int) -> tuple[int, int]:
    """Count a Loop body's inputs and outputs: it takes the step number and the condition first, and gives the condition
    first."""
    return max(2, len(node.input)), 1 + len(node.output)


def _of_scan(node: onnx.NodeProto, opset: int) -> tuple[int, int]:
    """Count a Scan body's inputs and outputs: before opset 9, the first operand holds lengths, which no body sees."""
    slices = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
    inputs = len(node.input) - (1 if opset < 9 else 0)
    if not 1 <= slices <= inputs or len(node.output) < inputs - slices:
        return -1, -1
    return inputs, len(node.output)


_WANTED = {"If": _of_if, "Loop": _of_loop, "Scan": _of_scan}
