"""Put the stacked output of a loop in the place of a list to which the loop appends, and unroll a short loop that does
more to a list.

`for i: s.append(v)`, then `concat(s)`, `stack(s)`, `s[k]` or `len(s)`: v becomes a stacked output of the Loop, which a
Reshape, a Transpose, a Gather or a Shape reads instead. torch writes `outputs.append(...)` in a scripted loop in this
form. Its `tensor_split` is a loop over the places to split at, which appends pieces of different sizes, and one more
piece after the loop.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.graph.tensor_lists import is_list
from onnxlrp.graph.walks import follow_operators
from onnxlrp.source.canonical.common import Rewriter

_READERS = ("ConcatFromSequence", "SequenceAt", "SequenceLength")
_FEW = 4096
"""Largest number of nodes that a loop may be unrolled to."""


def rewrite(rewriter: Rewriter) -> None:
    """Remove the lists from every Loop of the graph, one after the other."""
    for node in rewriter.nodes("Loop"):
        current = node
        while (position := _appended(rewriter, current)) is not None:
            current = _stack(rewriter, current, position)
        count = attempt("is not written out step by step", current, _count, rewriter, current)
        if count is not None:
            _write_out(rewriter, current, count)


def _count(rewriter: Rewriter, node: ir.Node) -> int | None:
    """Count the steps that a loop always takes; None if that is not known, or if there are too many."""
    if not holds(any(map(is_list, node.inputs)), "it carries no list"):
        return None
    trips, start = (rewriter.op.known(v) for v in node.inputs[:2])
    body = node.attributes["body"].as_graph()
    goes_on = follow_operators(body.outputs[0], ("Identity",))
    known = rewriter.op.known(goes_on)
    always = goes_on is body.inputs[1] or (known is not None and bool(known.all()))
    begins = node.inputs[1] is None or (start is not None and bool(start.all()))
    stacks = len(body.outputs) > len(body.inputs) - 1
    if trips is None or not always or not begins:
        return miss("the number of its steps is known only when the model runs")
    count = max(int(trips.item()), 0)
    few = count * len(body) <= _FEW and (count or not stacks)
    return count if few else miss(f"it has no steps, or more than {_FEW} nodes in all of them")


def _write_out(rewriter: Rewriter, node: ir.Node, count: int) -> None:
    op, body = rewriter.op, node.attributes["body"].as_graph()
    states: list[ir.Value | None] = list(node.inputs[2:])
    stacks: list[list[ir.Value]] = [[] for _ in node.outputs[len(states) :]]
    for step in range(count):
        numbers = (np.int64(step), np.bool_(True))
        # Step number and condition may be scalars or vectors of one element; the body's declaration decides.
        own = [op.constant(n.reshape([1] * len(v.shape or ()))) for n, v in zip(numbers, body.inputs, strict=False)]
        _, *outputs = rewriter.paste(body, [*own, *states], f"{node.name}_{step}")
        states[:] = outputs[: len(states)]
        for stack, value in zip(stacks, outputs[len(states) :], strict=True):
            stack.append(op.Unsqueeze(value, op.ints([0])))
    for old, new in zip(node.outputs, [*states, *(op.Concat(*stack, axis=0) for stack in stacks)], strict=True):
        assert new is not None
        final = op.Identity(new) if old.is_graph_output() else new
        ir.convenience.replace_all_uses_with(old, final, replace_graph_outputs=True)
        if final is not new:
            final.name, old.name = old.name, None
    rewriter.graph.remove(node, safe=True)


def _appended(rewriter: Rewriter, node: ir.Node) -> int | None:
    """Find the position of a carried list to which every step only appends one value of a fixed shape; None if there is
    none."""
    body = node.attributes["body"].as_graph()
    for k, (param, out) in enumerate(zip(body.inputs[2:], body.outputs[1:], strict=False)):
        start, insert, final = node.inputs[k + 2], out.producer(), node.outputs[k]
        empty = None if start is None else start.producer()
        if insert is None or insert.op_type != "SequenceInsert" or insert.inputs[0] is not param:
            continue
        appends = len(insert.inputs) == 2 or insert.inputs[2] is None
        alone = len(list(param.uses())) == 1 and not out.uses() and list(body.outputs).count(out) == 1
        value = insert.inputs[1]
        fixed = value is not None and value.shape is not None and all(_named(d) for d in value.shape)
        readers = [use.node for use in final.uses()]
        read = all(n.op_type in _READERS and n.graph is rewriter.graph for n in readers)
        begins = empty is not None and empty.op_type == "SequenceEmpty"
        if appends and alone and fixed and begins and read and readers and not final.is_graph_output():
            return k
    return None


def _named(dim: int | ir.SymbolicDim) -> bool:
    return isinstance(dim, int) or dim.value is not None


def _stack(rewriter: Rewriter, node: ir.Node, position: int) -> ir.Node:
    """Let the Loop stack the value that is appended; returns the new Loop node."""
    body = node.attributes["body"].as_graph()
    insert = body.outputs[position + 1].producer()
    assert insert is not None and insert.inputs[1] is not None
    value = insert.inputs[1]
    kept = ir.node("Identity", [value], name=f"{insert.name}_kept")
    kept.outputs[0].name, kept.outputs[0].type, kept.outputs[0].shape = f"{insert.name}_kept", value.type, value.shape
    body.append(kept)
    del body.inputs[position + 2], body.outputs[position + 1]
    body.remove(insert, safe=True)
    body.outputs.append(kept.outputs[0])
    inputs = [v for i, v in enumerate(node.inputs) if i != position + 2]
    attributes = list(node.attributes.values())
    made = ir.Node("", "Loop", inputs, attributes, num_outputs=len(node.outputs), name=node.name)
    rewriter.graph.insert_after(node, made)
    stack = made.outputs[-1]
    stack.name, stack.type = f"{node.name}_stack", value.type
    stack.shape = ir.Shape([None, *(value.shape or ())])
    for reader in list(dict.fromkeys(use.node for use in node.outputs[position].uses())):
        _read(rewriter, reader, stack, len(value.shape or ()))
    for old, new in zip((v for i, v in enumerate(node.outputs) if i != position), made.outputs, strict=False):
        new.type, new.shape = old.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        new.name, old.name = old.name, None
    rewriter.graph.remove(node, safe=True)
    return made


def _read(rewriter: Rewriter, reader: ir.Node, stack: ir.Value, rank: int) -> None:
    """Put nodes that compute the same from the stack [steps, …] in the place of a node that reads the list."""
    op, call = rewriter.op, Call.of(reader)
    if reader.op_type == "SequenceAt":
        new = op.Gather(stack, call.operand(1), axis=0)
    elif reader.op_type == "SequenceLength":
        new = op.Squeeze(op.Shape(stack, start=0, end=1), op.ints([0]))
    else:
        fresh = bool(call.attr("new_axis", 0))
        axis = int(call.attr("axis")) % (rank + 1 if fresh else rank)
        new = op.Transpose(stack, perm=[*range(1, axis + 1), 0, *range(axis + 1, rank + 1)])
        if not fresh:
            ends = op.Shape(new, start=0, end=axis), op.ints([-1]), op.Shape(new, start=axis + 2)
            new = op.Reshape(new, op.Concat(*ends, axis=0))
    rewriter.replace(reader.outputs[0], new, f"the list of {reader.name!r}")
