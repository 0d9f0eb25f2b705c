"""What a region of elementwise nodes computes: an activation has one name in all its spellings.

A GELU has three factors, in any order and with any of them halved; a pattern for each order would be a page. But a
region is a function of one number, so that it is known by its values.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import onnx_ir as ir
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import carried
from onnxlrp.operators.registry import content, find

_Function = Callable[[np.ndarray], np.ndarray]
_POINTS = np.linspace(-3.9, 4.1, 41)
_LARGEST = 24
"""Nodes in a region that is looked at."""


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
"""Of the largest value: constants of half precision are closer. Of several functions the closest counts."""


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function by its name, times any factor."""

    name: str
    factor: float

    @property
    def same_sign(self) -> bool:
        """Whether its value has its operand's sign, or none (0)."""
        return self.factor > 0 and self.name != "sigmoid"


def activation_of(node: ir.Node, entrance: ir.Value, facts: Facts) -> Activation | None:
    """The function that a region of one entrance computes; None where it has no name."""
    values = _values(node, entrance, facts)
    if values is None or values.shape != _POINTS.shape or not np.isfinite(values).all():
        return None
    factors = {name: float(values @ known / (known @ known)) for name, known in _KNOWN.items()}
    errors = {name: _error(values, factors[name], known) for name, known in _KNOWN.items()}
    nearest = min(errors, key=lambda name: errors[name])
    return Activation(nearest, factors[nearest]) if errors[nearest] < _CLOSE else None


def _error(values: np.ndarray, factor: float, known: np.ndarray) -> float:
    """How far some values are from a multiple of others."""
    return float(np.abs(values / factor - known).max() / np.abs(known).max()) if factor else math.inf


def is_soft(node: ir.Node, entrance: ir.Value, facts: Facts) -> bool:
    """Whether a region is a gate of the kind of SiLU and GELU: by its name, or a product with any other activation."""
    known = activation_of(node, entrance, facts)
    if known is not None:
        return known.name in _SOFT
    return node.op_type == "Mul" and any(n.op_type not in _PLAIN for n in _region(node, entrance, facts))


def is_power(node: ir.Node, entrance: ir.Value, facts: Facts) -> bool:
    """Whether a region is its entrance to the power of two or more, as in a squared ReLU."""
    return all(n.op_type in ("Mul", "Pow") for n in _region(node, entrance, facts))


_PLAIN = frozenset({"Add", "Sub", "Sum", "Mean", "Mul", "Div", "Neg", "Pow", "Cast", "Abs", "Sign", "Sqrt"})


def _region(node: ir.Node, entrance: ir.Value, facts: Facts) -> list[ir.Node]:
    """The nodes from the entrance to the end, in their order; none that only rounds."""
    return [n for n in _nodes(node, entrance, facts) if not _rounds(n)]


def _rounds(node: ir.Node) -> bool:
    entry = find(node)
    return entry is not None and entry.rounding


def _nodes(node: ir.Node, entrance: ir.Value, facts: Facts) -> list[ir.Node]:
    found: set[ir.Node] = set()
    waiting = [node]
    while waiting:
        inside = waiting.pop()
        if inside in found:
            continue
        found.add(inside)
        values = carried(inside, facts.data).values()
        waiting += [p for v in values if v is not entrance and (p := v.producer()) is not None]
    return sorted(found, key=facts.order.__getitem__)


def _values(node: ir.Node, entrance: ir.Value, facts: Facts) -> np.ndarray | None:
    """The region's values at some points, None where it holds more than numbers."""
    nodes = _nodes(node, entrance, facts)
    whole = [n for n in nodes if not _rounds(n)]
    made = {entrance, *(v for n in nodes for v in n.outputs)}
    constants = {v for n in whole for v in n.inputs if v is not None and v not in made}
    if len(whole) > _LARGEST or any(v.const_value is None or v.const_value.size != 1 for v in constants):
        return None
    graph = helper.make_graph(
        [_not_rounded(n, facts) if _rounds(n) else ir.serde.serialize_node(n) for n in nodes],
        "region",
        [helper.make_tensor_value_info(str(entrance.name), TensorProto.DOUBLE, None)],
        [helper.make_tensor_value_info(str(node.outputs[0].name), TensorProto.DOUBLE, None)],
        [numpy_helper.from_array(_widened(content(v)), str(v.name)) for v in constants],
    )
    domains = {n.domain for n in whole} | {""}
    opsets = [helper.make_opsetid(d, node.graph.opset_imports.get(d, 1) if node.graph else 1) for d in sorted(domains)]
    try:
        (values,) = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets)).run(
            None, {str(entrance.name): _POINTS}
        )
    except Exception:  # an operator that the evaluator does not know: the region has no name then
        return None
    return np.asarray(values, np.float64).reshape(-1)


def _not_rounded(node: ir.Node, facts: Facts) -> NodeProto:
    """What is rounded in between is taken as it was before."""
    source = next(iter(carried(node, facts.data).values()))
    return helper.make_node("Identity", [str(source.name)], [str(node.outputs[0].name)])


def _widened(array: np.ndarray | None) -> np.ndarray:
    assert array is not None
    return array.reshape(()).astype(np.float64) if np.issubdtype(array.dtype, np.floating) else array.reshape(())
