"""The output side: a softmax or sigmoid that leads to the explained output through routing only is skipped."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.builder import Builder
from onnxlrp.operators.registry import Call, Kind, find


def explained_score(op: Builder, output: ir.Value) -> ir.Value:
    """The score to explain, in the output's layout: what feeds the final softmax, taken the way the output takes.

    Where nothing is skipped it is the output itself.
    """
    node = output.producer()
    entry = None if node is None else find(node)
    if node is None or entry is None:
        return output
    if entry.score is not None:
        return entry.score(op, Call.of(node))
    if entry.score_head and node.inputs[0] is not None:
        return node.inputs[0]
    if entry.rescales and node.inputs[0] is not None:
        score = explained_score(op, node.inputs[0])
        return output if score is node.inputs[0] else score
    if entry.rounding:
        rounded = Call.of(node).operand(entry.operands(Call.of(node))[0])
        score = explained_score(op, rounded)
        return output if score is rounded else score
    if entry.kind is not Kind.ROUTING or entry.winner or entry.many:
        return output
    call = Call.of(node)
    replaced: dict[int, ir.Value | None] = {}
    for index in entry.operands(call):
        value = call.input(index)
        if value is not None and (score := explained_score(op, value)) is not value:
            replaced[index] = score
    return op.run(call.rebind(replaced)) if replaced else output
