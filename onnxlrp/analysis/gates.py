"""Gates: operands of a product that come from a softmax, sigmoid or rectifier, and so only scale the other one."""

from __future__ import annotations

import math

import onnx_ir as ir

from onnxlrp.analysis.activations import is_power, is_soft
from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import is_routing, origin
from onnxlrp.analysis.squashes import is_squashed
from onnxlrp.graph.call import Call, content
from onnxlrp.graph.walks import made_by
from onnxlrp.operators.registry import Kind, find


def gate_kind(value: ir.Value, facts: Facts) -> str | None:
    """Return the kind of gate that a value is: "gate", "soft", or None.

    A "gate" comes from a softmax, sigmoid or hard sigmoid in any spelling, or from several of them and nothing else.
    Routing, TopK (as with experts), affine operations with constants, `1 − ·`, averages, and the division by a
    normaliser may lie between these and the value. A "soft" gate comes from SiLU, GELU or ReLU.
    """
    kind = _one_gate_kind(value, facts)
    return "gate" if kind is None and _all_gates(value, facts) else kind


def _one_gate_kind(value: ir.Value, facts: Facts) -> str | None:
    """Return the kind of gate that a value is, where it comes from a single gate."""
    first = True
    while (node := value.producer()) is not None:
        entry = find(node)
        if entry is None:
            return None
        if entry.activation == "gate" or _hard_sigmoid(node) or _sigmoid(node):
            return "gate"
        if entry.activation is not None and first:
            return "soft"
        entrance = region_entry(node, facts)
        if entrance is not None and is_soft(node, entrance, facts):
            return "soft" if first else None
        if entrance is not None and is_power(node, entrance, facts):
            value = entrance
            continue
        operands = facts.relevance_operands(node)
        if node.op_type == "Div" and node.domain == "" and 0 in operands:
            operands = {0: operands[0]}
        affine = entry.elementwise and entry.kind is Kind.LINEAR and entry.linearity != "product"
        moved = node.op_type in ("TopK", "Pow") or (len(operands) == 1 and is_routing(node, *operands))
        if len(operands) != 1 or not (affine or moved):
            return None
        first = first and (moved or entry.scales)
        (value,) = operands.values()
    return None


def _all_gates(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a value is computed from gates and constants alone, by `_blends`."""
    waiting, seen = [value], set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if _one_gate_kind(value, facts) == "gate" or is_squashed(value, facts):
            continue
        node = value.producer()
        operands = [] if node is None or not _blends(node, facts) else list(facts.relevance_operands(node).values())
        if not operands:
            return False
        waiting += operands
    return True


def _blends(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a node that reads only gates computes a gate: one that joins, adds, multiplies, averages, bounds
    or resizes them, and is no layer."""
    entry = find(node)
    if entry is None or entry.layer is not None or node in facts.layers:
        return False
    bounds = node.op_type in ("Clip", "Max", "Min", "Sqrt")
    return bounds or entry.kind is Kind.LINEAR or entry.moves


def divides(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a factor of a product is a divisor in disguise: `1 / data`, `Reciprocal(data)` or `data ^ −p`,
    possibly scaled or bounded by constants, or routed."""
    node = origin(value, facts.data, _scales)
    if node is None or node.domain != "" or _sigmoid(node):
        return False
    if node.op_type == "Pow":
        power = content(node.inputs[1])
        return power is not None and bool((power < 0).all())
    return node.op_type == "Reciprocal" or (node.op_type == "Div" and node.inputs[0] in facts.constants)


def _scales(node: ir.Node, operand: int) -> bool:
    """Decide whether a node only routes, scales or bounds an operand, and does not divide by it."""
    entry = find(node)
    if entry is None:
        return False
    scaled = entry.linearity == "scale" or (entry.linearity == "quotient" and operand == 0)
    return (
        is_routing(node, operand) or scaled or (entry.selects_by_value and entry.elementwise) or node.op_type == "Clip"
    )


def _sigmoid(node: ir.Node) -> bool:
    """Decide whether a node ends a sigmoid that is written out as `1 / (1 + exp(−x))`: a gate, no divisor."""
    over = node.op_type == "Reciprocal" or (node.op_type == "Div" and content(node.inputs[0]) is not None)
    below = node.inputs[-1] if over and node.domain == "" else None
    add = made_by(below, "Add")
    return add is not None and any(made_by(v, "Exp") is not None for v in add.inputs)


def _hard_sigmoid(node: ir.Node) -> bool:
    """Decide whether a node is the Clip of a hard sigmoid that is written out.

    Such a Clip is to [0, 1]; or to [0, c], if every consumer divides by c; or to [0, 6] of a sum such as `x + 3`,
    whatever follows (the 3 may be part of a layer's bias).
    """
    if node.op_type != "Clip":
        return False
    call = Call.of(node)
    low, high = content(call.input(1)), content(call.input(2))
    if low is None or high is None or float(low) != 0 or float(high) <= 0:
        return False
    top, clipped = float(high), node.outputs[0]
    shifted = made_by(call.operand(0), "Add") is not None
    consumers = clipped.consumers()
    return top == 1 or (top == 6 and shifted) or (bool(consumers) and all(_is_over(n, clipped, top) for n in consumers))


def _is_over(node: ir.Node, value: ir.Value, number: float) -> bool:
    """Decide whether a node is `value / number` or `value · (1 / number)`."""
    if node.op_type not in ("Div", "Mul"):
        return False
    other = content(node.inputs[1] if node.inputs[0] is value else node.inputs[0])
    if other is None or other.size != 1 or (node.op_type == "Div" and node.inputs[0] is not value):
        return False
    scale = float(other.reshape(-1)[0])
    return math.isclose(number, scale if node.op_type == "Div" else 1 / scale, rel_tol=1e-4) if scale else False
