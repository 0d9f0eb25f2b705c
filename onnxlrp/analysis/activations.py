"""Recognition of activations that are written out in elementwise nodes: one name for every spelling.

A GELU is a product of three factors in any order, any of which may carry the ½, so that patterns for all spellings
would fill a page. The nodes of such a function form a region, whose output is a function of one number; this function
is recognised by its values at sample points instead.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.graph.walks import upstream
from onnxlrp.operators.registry import find
from onnxlrp.source.evaluate import evaluate

_Function = Callable[[np.ndarray], np.ndarray]
_POINTS = np.linspace(-3.9, 4.1, 41)
_LARGEST = 24
"""Largest number of nodes in a region that is evaluated."""


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


_ROOT = math.sqrt(2 / math.pi)
_FUNCTIONS: dict[str, _Function] = {
    "GELU (erf)": lambda x: x * 0.5 * (1 + np.array([math.erf(v / math.sqrt(2)) for v in x])),
    "GELU (tanh)": lambda x: x * 0.5 * (1 + np.tanh(_ROOT * (x + 0.044715 * x**3))),
    "SiLU": lambda x: x * _sigmoid(x),
    "QuickGELU": lambda x: x * _sigmoid(1.702 * x),
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "HardSwish": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softsign": lambda x: x / (1 + np.abs(x)),
}
_SOFT = {"GELU (erf)", "GELU (tanh)", "SiLU", "QuickGELU", "Mish", "HardSwish"}
_KNOWN = {name: function(_POINTS) for name, function in _FUNCTIONS.items()}
_CLOSE = 1e-3
"""Largest difference from a known function, as a fraction of that function's largest value; constants in half precision
stay below it. If several known functions are as close, the nearest counts."""


@dataclasses.dataclass(frozen=True)
class Activation:
    """A known function by its name, times a constant factor."""

    name: str
    factor: float

    @property
    def same_sign(self) -> bool:
        """True where the value has the sign of the operand or is 0."""
        return self.factor > 0 and self.name != "sigmoid"


def activation_of(node: ir.Node, entrance: ir.Value, facts: Facts) -> Activation | None:
    """Name the function that a region computes from its one entrance; None where it is no known function."""
    return attempt("computes no activation that has a name", node, _activation, node, entrance, facts)


def _activation(node: ir.Node, entrance: ir.Value, facts: Facts) -> Activation | None:
    values = _values(node, entrance, facts)
    if values is None or values.shape != _POINTS.shape or not np.isfinite(values).all():
        return miss(f"its constants have axes, it has more than {_LARGEST} nodes, or it is not finite near 0")
    factors = {name: float(values @ known / (known @ known)) for name, known in _KNOWN.items()}
    errors = {name: _error(values, factors[name], known) for name, known in _KNOWN.items()}
    nearest = min(errors, key=lambda name: errors[name])
    if errors[nearest] < _CLOSE:
        return Activation(nearest, factors[nearest])
    return miss(f"the nearest, {nearest}, differs by {errors[nearest]:.2g} of its largest value")


def _error(values: np.ndarray, factor: float, known: np.ndarray) -> float:
    """Compute the largest difference between `values / factor` and a known function, relative to that function."""
    return float(np.abs(values / factor - known).max() / np.abs(known).max()) if factor else math.inf


def is_soft(node: ir.Node, entrance: ir.Value, facts: Facts) -> bool:
    """Decide whether a region is a soft gate: a known one such as SiLU or GELU, or a product with an unknown
    activation."""
    known = activation_of(node, entrance, facts)
    if known is not None:
        return known.name in _SOFT
    return node.op_type == "Mul" and any(n.op_type not in _PLAIN for n in _region(node, entrance, facts))


def is_power(node: ir.Node, entrance: ir.Value, facts: Facts) -> bool:
    """Decide whether a region is a power of its entrance, written in Mul and Pow alone, as in a squared ReLU."""
    return all(n.op_type in ("Mul", "Pow") for n in _region(node, entrance, facts))


_PLAIN = frozenset({"Add", "Sub", "Sum", "Mean", "Mul", "Div", "Neg", "Pow", "Cast", "Abs", "Sign", "Sqrt"})


def _region(node: ir.Node, entrance: ir.Value, facts: Facts) -> list[ir.Node]:
    """List the nodes from the entrance to the end in topological order, without those that only round."""
    return [n for n in nodes_between(node, entrance, facts) if not rounds(n)]


def rounds(node: ir.Node) -> bool:
    """Decide whether a node quantises or dequantises."""
    entry = find(node)
    return entry is not None and entry.rounding


def nodes_between(node: ir.Node, entrance: ir.Value, facts: Facts) -> list[ir.Node]:
    """List the nodes that compute an elementwise function, from its entrance to its end, in topological order."""

    def inside(node: ir.Node) -> list[ir.Value]:
        return [v for v in facts.relevance_operands(node).values() if v is not entrance]

    return sorted(upstream(node.outputs, inside), key=facts.order.__getitem__)


def _values(node: ir.Node, entrance: ir.Value, facts: Facts) -> np.ndarray | None:
    """Evaluate a region at `_POINTS`; None where it is too large or has a constant of more than one element."""
    region = _region(node, entrance, facts)
    computed_inside = {entrance, *(v for n in nodes_between(node, entrance, facts) for v in n.outputs)}
    constants = {v for n in region for v in n.inputs if v is not None and v not in computed_inside}
    if len(region) > _LARGEST or any(v.const_value is None or v.const_value.size != 1 for v in constants):
        return None
    values = evaluate(node.outputs[0], {entrance: _POINTS})
    return None if values is None else values.reshape(-1)
