"""Labels that tell what a node is part of: attention, rotary embeddings, gated units, experts.

The plan only prints them: no rule depends on a label.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.analysis.activations import activation_of
from onnxlrp.analysis.cells import in_cell
from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import is_routing, origin
from onnxlrp.operators.registry import Kind, find

_UNITS = {
    "Sigmoid": "gated linear unit",
    "Swish": "SwiGLU",
    "SiLU": "SwiGLU",
    "Gelu": "GEGLU",
    "GELU (erf)": "GEGLU",
    "GELU (tanh)": "GEGLU",
    "QuickGELU": "GEGLU",
    "Relu": "ReGLU",
}
_FAR = 12
"""Largest number of nodes that may lie between scores and their softmax, to scale, mask, reshape or guard the
scores."""


def label_of(node: ir.Node, facts: Facts) -> str | None:
    """Return what a node is part of; None where it has no label."""
    if node.domain != "":
        return None
    if node.op_type in ("MatMul", "Einsum", "FusedMatMul"):
        return _attention(node, facts)
    if node.op_type == "Softmax":
        return _weights(node, facts)
    if node.op_type in ("Add", "Sub"):
        return "rotary embedding" if _rotates(node, facts) else None
    return _unit(node, facts) if node.op_type == "Mul" else None


# ---------------------------------------------------------------------------------------- attention


def _attention(node: ir.Node, facts: Facts) -> str | None:
    """Label the two products of attention: queries by keys, if the product leads to a softmax, and attention weights by
    values."""
    operands = facts.relevance_operands(node).values()
    if len(operands) < 2:
        return None
    if any(_is(origin(v, facts.data, _scales), "Softmax") for v in operands):
        return "attention: weights by values"
    return "attention: queries by keys" if _leads_to(node, facts) == "Softmax" else None


def _weights(node: ir.Node, facts: Facts) -> str | None:
    op_types = {n.op_type for n in _downstream(node, facts)}
    if op_types & {"MatMul", "Einsum"}:
        return "attention weights"
    return "expert routing" if "TopK" in op_types else None


def _leads_to(node: ir.Node, facts: Facts) -> str | None:
    return next((n.op_type for n in _downstream(node, facts) if n.op_type == "Softmax"), None)


def _downstream(node: ir.Node, facts: Facts) -> Iterator[ir.Node]:
    """Yield the nodes downstream of a node, as far as routing and elementwise nodes lead."""
    waiting = [(v, 0) for v in node.outputs]
    seen: set[ir.Node] = set()
    while waiting:
        value, far = waiting.pop()
        for consumer in value.consumers():
            if consumer in seen:
                continue
            seen.add(consumer)
            yield consumer
            entry = find(consumer)
            if far < _FAR and entry is not None and (entry.kind is Kind.ROUTING or entry.elementwise):
                waiting += [(v, far + 1) for v in consumer.outputs]


def _is(node: ir.Node | None, *op_types: str) -> bool:
    return node is not None and node.op_type in op_types


def _scales(node: ir.Node, operand: int) -> bool:
    entry = find(node)
    return is_routing(node, operand) or (entry is not None and entry.linearity in ("scale", "quotient"))


# ---------------------------------------------------------------------------------------- rotary embeddings


def _rotates(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a sum rotates pairs of channels.

    It is `x·cos + rotated(x)·sin`, where rotated(x) exchanges the halves of x (or its odd and even channels) and
    negates one, or `a·cos − b·sin` of these parts a and b themselves.
    """
    parts = [p for v in node.inputs if (p := _turned(v, facts)) is not None]
    if len(parts) != 2:
        return False
    (what, one, negative), (other, also_one, also_negative) = parts
    turned = negative != also_negative or (node.op_type == "Sub" and not negative)
    return what is not other and one == also_one and len(one) == 1 and turned


def _turned(value: ir.Value | None, facts: Facts) -> tuple[ir.Value, set[ir.Value], bool] | None:
    """Return the data operand of a product with a table, the values that it is routed from, and whether one of these is
    negated; None for other values."""
    node = None if value is None else value.producer()
    operands = {} if node is None else facts.relevance_operands(node)
    if node is None or node.op_type != "Mul" or len(operands) != 1:
        return None
    (operand,) = operands.values()
    table = node.inputs[1] if node.inputs[0] is operand else node.inputs[0]
    if table is None or table.shape is None or all(d == 1 for d in table.shape):
        return None
    sources: set[ir.Value] = set()
    negative, waiting = False, [operand]
    for _ in range(_FAR):
        if not waiting:
            break
        value = waiting.pop()
        producer = value.producer()
        if producer is not None and (producer.op_type == "Neg" or is_routing(producer, 0)):
            negative = negative or producer.op_type == "Neg"
            waiting += [v for v in facts.relevance_operands(producer).values() if v not in waiting]
        else:
            sources.add(value)
    return operand, sources, negative


# ---------------------------------------------------------------------------------------- gated units and experts


def _unit(node: ir.Node, facts: Facts) -> str | None:
    """Label a product of data with an activation of other data, or with an expert's weight, outside recurrent cells."""
    operands = list(facts.relevance_operands(node).values())
    if len(operands) != 2 or region_entry(node, facts) is not None or in_cell(node, facts):
        return None
    if any(_routes(v, facts) for v in operands):
        return "expert routing"
    names = [name for v in operands if (name := _activation(v, facts)) is not None]
    return names[0] if len(names) == 1 else None


def _activation(value: ir.Value, facts: Facts) -> str | None:
    node = origin(value, facts.data, _scales)
    if node is None:
        return None
    entrance = region_entry(node, facts)
    if entrance is None:
        return _UNITS.get(node.op_type)
    known = activation_of(node, entrance, facts)
    return None if known is None else _UNITS.get(known.name)


def _routes(value: ir.Value, facts: Facts) -> bool:
    """Decide whether a value is a router's weight: a softmax or sigmoid from which a TopK chooses."""
    chosen = False
    for _ in range(2 * _FAR):
        node = value.producer()
        operands = {} if node is None else facts.relevance_operands(node)
        if node is None or not operands:
            return False
        if node.op_type in ("Softmax", "Sigmoid"):
            return chosen or any(_is(n, "TopK") for n in _downstream(node, facts))
        entry = find(node)
        if entry is None or not (entry.kind is Kind.ROUTING or entry.scales):
            return False
        chosen = chosen or node.op_type == "TopK"
        value = operands[min(operands)]
    return False
