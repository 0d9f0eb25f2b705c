"""Put the tensors of a list in the place of nodes that read the list, where the tensors are known: `[a, b][1] = b`,
`concat([a, b]) = Concat(a, b)`.

Values computed from the list then keep their rank: ONNX infers none for a list that began empty.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Put tensors in the place of the nodes that read a list at a known place, or as a whole, if its tensors are
    known."""
    for node in rewriter.nodes("SequenceAt", "ConcatFromSequence", "SequenceLength"):
        old, new = node.outputs[0], attempt("does not read a known tensor", node, _tensor, rewriter, node)
        if new is not None:
            ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=False)
            if not old.is_graph_output():
                rewriter.absorbed[str(old.name)] = f"the list's tensor {new.name!r}"


def _tensor(rewriter: Rewriter, node: ir.Node) -> ir.Value | None:
    members = _members(rewriter, node.inputs[0])
    found = None if members is None else _read(rewriter, Call.of(node), members)
    return miss("the list's tensors, or the place, are known only when the model runs") if found is None else found


def _members(rewriter: Rewriter, value: ir.Value | None) -> list[ir.Value] | None:
    """Find the tensors of a list in their order; None if they are known only when the model runs."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "":
        return None
    if node.op_type == "SequenceEmpty":
        return []
    if node.op_type == "SequenceConstruct":
        return [v for v in node.inputs if v is not None]
    if node.op_type not in ("SequenceInsert", "SequenceErase"):
        return None
    call, members = Call.of(node), _members(rewriter, node.inputs[0])
    if members is None:
        return None
    if node.op_type == "SequenceInsert":
        place = _place(rewriter, call.input(2), len(members), len(members))
        return None if place is None else [*members[:place], call.operand(1), *members[place:]]
    place = _place(rewriter, call.input(1), len(members), len(members) - 1)
    return None if place is None else members[:place] + members[place + 1 :]


def _place(rewriter: Rewriter, value: ir.Value | None, count: int, default: int) -> int | None:
    """Read a place in a list of `count` tensors, counted from its start; None if only the running model knows it."""
    if value is None:
        return default
    known = rewriter.op.known(value)
    if known is None:
        return None
    return int(known.item()) + (count if known.item() < 0 else 0)


def _read(rewriter: Rewriter, call: Call, members: list[ir.Value]) -> ir.Value | None:
    op = rewriter.op
    if call.op_type == "SequenceLength":
        return op.ints_scalar(len(members))
    if call.op_type == "SequenceAt":
        place = _place(rewriter, call.operand(1), len(members), 0)
        return members[place] if place is not None and 0 <= place < len(members) else None
    axis = int(call.attr("axis"))
    if not members:
        return None
    if call.attr("new_axis", 0):
        return op.Concat(*(op.Unsqueeze(v, op.ints([axis])) for v in members), axis=axis)
    return op.Concat(*members, axis=axis)
