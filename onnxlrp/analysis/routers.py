"""Gates: what a product's operand comes from."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import carried
from onnxlrp.analysis.regions import region_entry
from onnxlrp.operators.registry import Call, Kind, content, find


def router_of(value: ir.Value, facts: Facts) -> str | None:
    """What kind of gate a value is.

    "gate": it comes, through routing, affine operations with constants or `1 − ·`, from a softmax, sigmoid or hard
    sigmoid. "soft": it comes from SiLU, GELU or ReLU. None otherwise.
    """
    first = True
    while (node := value.producer()) is not None:
        entry = find(node)
        if entry is None:
            return None
        if entry.gate or _hard_sigmoid(node):
            return "gate"
        if entry.soft_rectifier and first:
            return "soft"
        if region_entry(node, facts) is not None and node.op_type == "Mul":
            return "soft" if first else None
        operands = list(carried(node, facts.data).values())
        affine = entry.elementwise and entry.kind is Kind.LINEAR and (entry.jointly or entry.scale)
        moves = entry.kind is Kind.ROUTING and not entry.winner
        if len(operands) != 1 or not (affine or moves):
            return None
        first = first and (moves or entry.scale)
        value = operands[0]
    return None


def divides(value: ir.Value) -> bool:
    """Whether a factor is a divisor written as one: `1 / data`, `Reciprocal(data)` or `data ^ −p`, moved about."""
    while (node := value.producer()) is not None:
        if node.domain == "" and node.op_type == "Pow":
            power = content(node.inputs[1])
            return power is not None and bool((power < 0).all())
        if node.domain == "" and node.op_type in ("Reciprocal", "Div"):
            over = None if node.op_type == "Reciprocal" else content(node.inputs[0])
            return not _sigmoid(node) and (node.op_type == "Reciprocal" or (over is not None and over.size == 1))
        entry = find(node)
        if entry is None or entry.kind is not Kind.ROUTING or entry.winner or node.inputs[0] is None:
            return False
        value = node.inputs[0]
    return False


def _sigmoid(node: ir.Node) -> bool:
    """Whether a reciprocal is a sigmoid written out, `1 / (1 + exp(−x))`: a gate, no divisor."""
    below = node.inputs[-1]
    add = None if below is None else below.producer()
    if add is None or add.op_type != "Add":
        return False
    return any(v is not None and (p := v.producer()) is not None and p.op_type == "Exp" for v in add.inputs)


def _hard_sigmoid(node: ir.Node) -> bool:
    """A Clip to [0, 1] is a hard sigmoid written out, and one to [0, c] that is divided by c; so is one of `x + 3` to
    [0, 6], whatever follows (the 3 may have become part of a layer's bias)."""
    if node.op_type != "Clip":
        return False
    call = Call.of(node)
    low, high = content(call.input(1)), content(call.input(2))
    if low is None or high is None or float(low) != 0 or float(high) <= 0:
        return False
    top, clipped = float(high), node.outputs[0]
    producer = call.operand(0).producer()
    shifted = producer is not None and producer.op_type == "Add"
    consumers = clipped.consumers()
    return top == 1 or (top == 6 and shifted) or (bool(consumers) and all(_is_over(n, clipped, top) for n in consumers))


def _is_over(node: ir.Node, value: ir.Value, number: float) -> bool:
    """Whether a node is `value / number`, or `value · (1 / number)`."""
    if node.op_type not in ("Div", "Mul"):
        return False
    other = content(node.inputs[1] if node.inputs[0] is value else node.inputs[0])
    if other is None or other.size != 1 or (node.op_type == "Div" and node.inputs[0] is not value):
        return False
    scale = float(other.reshape(-1)[0])
    return math.isclose(number, scale if node.op_type == "Div" else 1 / scale, rel_tol=1e-4) if scale else False
