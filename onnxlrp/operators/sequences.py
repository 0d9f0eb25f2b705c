"""Lists of tensors and optional values: relevance follows the values through them.

All operators between the tensors that enter a list and the tensor that leaves it are reversed in one step: run on the
indices 0, 1, 2, … of the tensors' elements, the same operators tell where each element came from.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.tensor_lists import is_list, sources
from onnxlrp.operators.registry import Reversed, custom, routing, stop

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def _rebuild(op: Builder, value: ir.Value, instead: dict[ir.Value, ir.Value]) -> ir.Value:
    """Emit once more the operators that build a list, with other tensors in place of its own."""
    if value in instead:
        return instead[value]
    node = value.producer()
    assert node is not None
    if node.op_type == "SequenceEmpty":
        return op.SequenceEmpty(dtype=ir.DataType.INT64)
    moved = {i: v for i, v in enumerate(node.inputs) if v is not None and (is_list(v) or v in instead)}
    return op.run(Call.of(node).rebind({i: _rebuild(op, v, instead) for i, v in moved.items()}))


def _open(call: Call) -> str | None:
    if sources(call.operand(0)) is None:
        return "its list comes from a loop, a branch or an input, which has no rule"
    return None


def _tensors(call: Call) -> range:
    """Name the tensors of the list, which follow the node's own operands; if the tensors are unknown, name the list
    itself."""
    own = 1 if call.op_type == "ConcatFromSequence" else 2
    return range(own, len(call.inputs)) if sources(call.operand(0)) is not None else range(1)


@routing("SequenceAt", "ConcatFromSequence", operands=_tensors, refuse=_open)
def from_list(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values through the list to its tensors."""
    own = 1 if call.op_type == "ConcatFromSequence" else 2
    tensors = [v for v in call.inputs[own:] if v is not None]
    instead, before = {}, op.ints_scalar(0)
    starts = []
    for tensor in tensors:
        # The elements of all tensors are numbered consecutively.
        instead[tensor] = op.Add(op.index_grid(tensor), before)
        starts.append(before)
        before = op.Add(before, op.size(tensor))
    alone = dataclasses.replace(call, inputs=call.inputs[:own])
    places = op.run(alone.rebind({0: _rebuild(op, call.operand(0), instead)}))
    x, start = tensors[operand - own], starts[operand - own]
    here = op.And(op.GreaterOrEqual(places, start), op.Less(places, op.Add(start, op.size(x))))
    inside = op.Where(here, op.Sub(places, start), op.ints_scalar(0))
    return op.scatter_back(op.Where(here, r, op.constant(0, r.dtype)), inside, x)


@routing(
    "SequenceConstruct",
    "SequenceInsert",
    "SequenceErase",
    "SplitToSequence",
    operands=lambda call: range(len(call.inputs)),
    refuse=lambda call: "relevance would arrive at a list as a whole",
)
def into_list(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values from the tensors that leave the list."""
    raise NotImplementedError("relevance goes past lists, see from_list")


@routing(
    "OptionalGetElement",
    operands=lambda call: range(1, 2) if len(call.inputs) > 1 else range(1),
    refuse=lambda call: None if len(call.inputs) > 1 else "its optional value comes from a branch or an input",
)
def from_optional(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values: an optional value that is present is the value itself."""
    return r


@routing(
    "Optional",
    operands=lambda call: range(len(call.inputs)),
    refuse=lambda call: "relevance would arrive at an optional value as a whole",
)
def into_optional(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance follows the values from the element of the optional value."""
    raise NotImplementedError("relevance goes past optional values, see from_optional")


@custom(
    "SequenceMap",
    operands=lambda call: range(len(call.inputs)),
    refuse=lambda call: "it maps a list whose length is not known, which has no rule",
)
def mapped(*_: object) -> Reversed:
    """Written out if the length of the list is known: the body, once for each element."""
    raise NotImplementedError("written out in source.canonical.unroll_sequence_maps")


stop("SequenceEmpty", reason="an empty list")
stop("SequenceLength", "OptionalHasElement", reason="a count, not a value")
