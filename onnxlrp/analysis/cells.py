"""Recognition of recurrent cells that are written out: under every composite their products are gate times signal.

LSTM `c′ = f⊙c + i⊙tanh(·)`, `h = o⊙tanh(c′)`; GRU `h′ = (1 − z)⊙n + z⊙h` (or `(h − n)⊙z + n`) with
`n = tanh(· + r⊙·)`: Hochreiter & Schmidhuber 1997, Cho et al. 2014.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.gates import gate_kind
from onnxlrp.analysis.reach import origin
from onnxlrp.graph.misses import attempt, holds, miss


def in_cell(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a product with exactly one gate belongs to a recurrent cell."""
    return attempt("belongs to no recurrent cell", node, _in_cell, node, facts)


def _in_cell(node: ir.Node, facts: Facts) -> bool:
    signal = _signal(node, facts)
    if signal is None:
        return bool(miss("it is no product of a gate and a signal"))
    sums = [n for n in node.outputs[0].consumers() if n.op_type == "Add"]
    if any(_blend(n, facts) for n in sums):
        return True
    tanh = _computed_by(signal, "Tanh", facts)
    if tanh is not None and (add := _computed_by(tanh.inputs[0], "Add", facts)) is not None and _blend(add, facts):
        return True  # the output gate, on the new state
    candidates = [n for add in sums for n in add.outputs[0].consumers() if n.op_type == "Tanh"]
    inside = any(_is_candidate(n, facts) for n in candidates)  # the reset gate, inside the candidate
    return holds(inside, "no sum of gated states reads it, and its signal is no tanh of such a sum")


def _signal(node: ir.Node, facts: Facts) -> ir.Value | None:
    """Return the operand of a product that is not the gate; None unless exactly one operand is a gate."""
    if node.op_type != "Mul" or node.domain != "" or len(node.inputs) != 2:
        return None
    gates = [v is not None and gate_kind(v, facts) == "gate" for v in node.inputs]
    return node.inputs[gates.index(False)] if sum(gates) == 1 else None


def _computed_by(value: ir.Value | None, op_type: str, facts: Facts) -> ir.Node | None:
    """Return the node that computes a value, looking upstream through routing; None unless its type is `op_type`."""
    node = origin(value, facts.data)
    return node if node is not None and node.op_type == op_type and node.domain == "" else None


def _blend(add: ir.Node, facts: Facts) -> bool:
    """Decide whether a sum blends the old state with a candidate, each multiplied by its gate."""
    products = [_computed_by(v, "Mul", facts) for v in add.inputs]
    signals = [None if n is None else _signal(n, facts) for n in products]
    if all(s is not None for s in signals):
        return any(_computed_by(s, "Tanh", facts) is not None for s in signals)
    for signal, other in zip(signals, reversed(add.inputs), strict=True):
        difference = _computed_by(signal, "Sub", facts)
        if difference is not None and other in difference.inputs and _computed_by(other, "Tanh", facts) is not None:
            return True
    return False


def _is_candidate(tanh: ir.Node, facts: Facts) -> bool:
    """Decide whether the output of a Tanh is a candidate that a blend adds to the state, with or without a gate."""
    for node in tanh.outputs[0].consumers():
        if node.op_type == "Add" and _blend(node, facts):
            return True
        if _signal(node, facts) is not None and any(
            n.op_type == "Add" and _blend(n, facts) for n in node.outputs[0].consumers()
        ):
            return True
    return False
