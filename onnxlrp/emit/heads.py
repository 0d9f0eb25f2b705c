"""The output side: a softmax or sigmoid that leads to the explained output through routing only is skipped."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.builder import Builder
from onnxlrp.operators.registry import Call, Kind, find


def explained_score(op: Builder, output: ir.Value) -> ir.Value:
    """The score to explain, in the output's layout: what feeds the final softmax, taken the way the output takes.

    Where nothing is skipped it is the output itself.
    """
    scores: dict[ir.Value, ir.Value] = {}
    # Each value once, and no recursion: the way may be long, and part and meet again.
    waiting = [output]
    while waiting:
        value = waiting[-1]
        before = _behind(value)
        unknown = [v for v in before.values() if v not in scores]
        if unknown:
            waiting += unknown
            continue
        waiting.pop()
        if value not in scores:
            scores[value] = _score(op, value, {i: scores[v] for i, v in before.items() if scores[v] is not v})
    return scores[output]


def _behind(value: ir.Value) -> dict[int, ir.Value]:
    """The operands of its node that a value is taken from, is rescaled or rounded from: a head may be there."""
    node = value.producer()
    entry = None if node is None else find(node)
    if node is None or entry is None or entry.score is not None or entry.score_head:
        return {}
    call = Call.of(node)
    if entry.rescales:
        operands: Sequence[int] = (0,)
    elif entry.rounding:
        operands = entry.operands(call)[:1]
    elif entry.kind is Kind.ROUTING and not entry.winner and not entry.many:
        operands = entry.operands(call)
    else:
        return {}
    return {i: v for i in operands if (v := call.input(i)) is not None}


def _score(op: Builder, value: ir.Value, replaced: dict[int, ir.Value]) -> ir.Value:
    """What `value` is without its head; `replaced`: operands of its node that have one, without it."""
    node = value.producer()
    entry = None if node is None else find(node)
    if node is None or entry is None:
        return value
    call = Call.of(node)
    if entry.score is not None:
        return entry.score(op, call)
    if entry.score_head and node.inputs[0] is not None:
        return node.inputs[0]
    if not replaced:
        return value
    if entry.rescales or entry.rounding:
        return next(iter(replaced.values()))
    return op.run(call.rebind(replaced))
