"""Lists of tensors and optional values: decides which values are lists, and finds the tensors of a list."""

from __future__ import annotations

import onnx_ir as ir

_MOVES = {"SequenceConstruct": None, "SequenceInsert": 2, "SequenceErase": 1, "SequenceEmpty": 0, "SplitToSequence": 1}
"""Operators that make a list, each with the number of operands, counted from the first, that go into the list; None for
all."""
_TAKE = frozenset({"SequenceAt", "ConcatFromSequence", "OptionalGetElement"})


def is_list(value: ir.Value | None) -> bool:
    """Decide whether a value is a list of tensors, by its producer or by its inferred type."""
    producer = None if value is None else value.producer()
    by_producer = producer is not None and producer.domain == "" and producer.op_type in {*_MOVES, "SequenceMap"}
    return by_producer or (value is not None and isinstance(value.type, ir.SequenceType))


def sources(value: ir.Value) -> list[ir.Value] | None:
    """Find the tensors of a list, each once; None if it comes out of a loop, a branch or an input."""
    node = value.producer()
    if node is None or node.domain != "" or node.op_type not in _MOVES:
        return None
    unique: dict[ir.Value, None] = {}
    for operand in (v for v in node.inputs[: _MOVES[node.op_type]] if v is not None):
        tensors = sources(operand) if is_list(operand) else [operand]
        if tensors is None:
            return None
        unique.update(dict.fromkeys(tensors))
    return list(unique)


def held_tensors(node: ir.Node) -> list[ir.Value]:
    """Find the tensors of the list or optional value that a node takes one out of; empty if they are not known."""
    value = node.inputs[0] if node.domain == "" and node.inputs else None
    if value is None or node.op_type not in _TAKE:
        return []
    return _optional(value) if node.op_type == "OptionalGetElement" else sources(value) or []


def _optional(value: ir.Value) -> list[ir.Value]:
    """Find the tensor of an optional value that was wrapped in this graph, or that is no optional at all."""
    if isinstance(value.type, ir.TensorType):
        return [value]
    producer = value.producer()
    wraps = producer is not None and producer.domain == "" and producer.op_type == "Optional"
    return [v for v in producer.inputs if v is not None] if wraps and producer is not None else []
