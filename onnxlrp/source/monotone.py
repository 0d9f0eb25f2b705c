"""Find elementwise functions that only rise or only fall over an interval of their operand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.evaluate import FunctionOfOne, evaluate

_RISING = frozenset(
    {
        "Sigmoid",
        "HardSigmoid",
        "Softplus",
        "Softsign",
        "Exp",
        "Log",
        "Sqrt",
        "Erf",
        "Tanh",
        "Sinh",
        "Asinh",
        "Asin",
        "Atan",
        "Atanh",
        "Acosh",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "ThresholdedRelu",
        "Clip",
        "Max",
        "Min",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
    }
)
"""Functions that rise wherever they are defined, for the parameters that `_rises` accepts."""
_EVEN = frozenset({"Abs", "Cosh"})


@dataclasses.dataclass(frozen=True)
class MonotoneStep:
    """One elementwise node as a function of its only operand that is not constant.

    All arrays broadcast to the node's output, because constants of the node may vary along its axes.
    """

    rises: np.ndarray
    """+1 where the output rises with the operand, −1 where it falls."""
    low: np.ndarray
    high: np.ndarray
    """Bounds of the output."""
    at_zero: np.ndarray
    """The output where the operand is 0, which may be infinite or NaN."""
    affine: bool
    """True if the function multiplies by a constant and adds another."""
    at: Callable[[np.ndarray], np.ndarray | None]
    """The output at values of the operand; None where it is not known."""


def step(node: ir.Node, operand: ir.Value, low: np.ndarray, high: np.ndarray) -> MonotoneStep | None:
    """Describe a node as a function of one operand that lies between `low` and `high`; None if it is not monotone
    there."""
    out = node.outputs[0]
    if sum(v is operand for v in node.inputs) != 1:
        return None
    entry = find(node)
    affine = entry is not None and entry.kind is Kind.LINEAR and entry.elementwise and not _divides_by(node, operand)
    # All four have the rank of the bounds, which may have more axes than the operand.
    points = (low, high, np.zeros((1,) * low.ndim), np.ones((1,) * low.ndim))
    function = FunctionOfOne(out, operand)
    first, last, at_zero, at_one = map(function, points)
    if first is None or last is None or at_zero is None or at_one is None:
        return _unknown_shift(node, operand, function) if affine else None
    if affine:
        if not (np.isfinite(at_zero).all() and np.isfinite(at_one).all()):
            return None
        # A factor of 0 leaves a constant, which has no direction.
        rises = np.where(at_one >= at_zero, 1.0, -1.0)
    else:
        direction = _direction(node, operand, low, high)
        if direction is None:
            return None
        rises = np.full(at_zero.shape, float(direction))
    first, last = np.where(np.isnan(first), -np.inf, first), np.where(np.isnan(last), np.inf, last)
    return MonotoneStep(rises, np.minimum(first, last), np.maximum(first, last), at_zero, affine, function)


def _unknown_shift(node: ir.Node, operand: ir.Value, function: FunctionOfOne) -> MonotoneStep | None:
    """Describe the sum or difference of the operand and a value that is known only at run time and through which no
    input is explained."""
    if node.domain != "" or node.op_type not in ("Add", "Sub"):
        return None
    falls = node.op_type == "Sub" and node.inputs[1] is operand
    infinite = np.full((), np.inf)
    return MonotoneStep(
        np.full((), -1.0 if falls else 1.0), -infinite, infinite, np.full((), np.nan), affine=True, at=function
    )


def _divides_by(node: ir.Node, operand: ir.Value) -> bool:
    return node.op_type == "Div" and node.inputs[1] is operand


def _direction(node: ir.Node, operand: ir.Value, low: np.ndarray, high: np.ndarray) -> int | None:
    """Give +1 or −1 for a function that rises or falls and is not affine; None if it is not monotone between the
    bounds."""
    if node.domain != "":
        return None
    kind, positive, negative = node.op_type, bool((low >= 0).all()), bool((high <= 0).all())
    if kind in _RISING:
        return 1 if _rises(node) else None
    if kind == "Acos":
        return -1
    if kind in _EVEN:
        return 1 if positive else -1 if negative else None
    if kind == "Reciprocal":
        return -1 if positive or negative else None
    if kind == "Div":
        return _quotient(node, positive, negative)
    if kind == "Pow":
        return _power(node, operand, positive, negative)
    return None


def _rises(node: ir.Node) -> bool:
    """Decide whether the function rises for the node's parameters: slopes and factors must not be negative."""
    if node.op_type == "PRelu":
        slope = _known(node.inputs[1])
        return slope is not None and bool((slope >= 0).all())
    names = {"alpha", "gamma"} if node.op_type == "Selu" else {"alpha"}
    return all(a.value >= 0 for name, a in node.attributes.items() if name in names and a.value is not None)


def _quotient(node: ir.Node, positive: bool, negative: bool) -> int | None:
    """Give the direction of a constant of one sign divided by data of one sign; None for other quotients."""
    above = _known(node.inputs[0])
    if above is None or not (positive or negative):
        return None
    return -1 if (above > 0).all() else 1 if (above < 0).all() else None


def _power(node: ir.Node, operand: ir.Value, positive: bool, negative: bool) -> int | None:
    """Give the direction of data to the power of one number, or of one positive number to the power of data; None for
    other powers."""
    base, exponent = node.inputs
    other = _known(exponent if base is operand else base)
    if other is None or other.size != 1:
        return None
    number = float(other.reshape(()))
    if base is not operand:
        return None if number <= 0 or number == 1 else 1 if number > 1 else -1
    if number == 0:
        return None
    rises = 1 if number > 0 else -1
    if positive:
        return rises
    whole, odd = number.is_integer(), number % 2 == 1
    if not whole or (odd and number < 0 and not negative):
        return None
    return rises if odd else -rises if negative else None


def _known(value: ir.Value | None) -> np.ndarray | None:
    """Compute a constant, which may follow from other constants; None if the value is not constant."""
    return None if value is None else evaluate(value, {})
