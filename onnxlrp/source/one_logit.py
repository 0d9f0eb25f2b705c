"""Find the single logit of two classes: a softmax over a score and a constant, such as `[0, z]`."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.call import Call, content


def one_logit(scores: ir.Value, axis: int, data: Collection[ir.Value]) -> tuple[ir.Value, int] | None:
    """Find the logit of two classes whose other logit is a constant, and its place along the axis of the classes.

    Returns None if `scores` is no such Concat or Pad. `data` are the values that depend on an input.
    """
    node, rank = scores.producer(), len(scores.shape or ())
    if node is None or node.domain != "" or not rank or node.op_type not in ("Concat", "Pad"):
        return None
    found = _joined(node, axis % rank, data) if node.op_type == "Concat" else _padded(node, axis % rank)
    if found is None or found[0].shape is None or found[0].shape[axis % rank] != 1:
        return None
    return found


def _joined(node: ir.Node, axis: int, data: Collection[ir.Value]) -> tuple[ir.Value, int] | None:
    call = Call.of(node)
    if len(node.inputs) != 2 or int(call.attr("axis", 0)) % call.rank() != axis:
        return None
    varies = [v in data for v in node.inputs]
    constant = node.inputs[varies.index(False)] if sum(varies) == 1 else None
    if constant is None or not constant.shape or constant.shape[axis] != 1:
        return None
    return call.operand(varies.index(True)), varies.index(True)


def _padded(node: ir.Node, axis: int) -> tuple[ir.Value, int] | None:
    call = Call.of(node)
    pads, rank = content(call.input(1)), call.rank()
    if pads is None or call.input(3) is not None or call.attr("mode", "constant") != "constant":
        return None
    added = {i: int(n) for i, n in enumerate(pads) if n}
    place = {axis: 1, axis + rank: 0}.get(next(iter(added), -1))
    return None if list(added.values()) != [1] or place is None else (call.operand(0), place)
