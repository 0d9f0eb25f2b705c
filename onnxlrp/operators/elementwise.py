"""Elementwise functions of one operand: relevance passes, a gradient is multiplied by the derivative. One line each."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.registry import activation, all_operands

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

PASSES = "Relevance passes unchanged."
KEEPS = "The value at 0 keeps its share, and the rest of the relevance passes."
DERIVED = "Relevance passes in proportion to the derivative, because the function has no value at 0."
_ROOT_PI = math.sqrt(math.pi)


def _formula(*names: str, summary: str = PASSES, **options: Any) -> Callable[[Callable], Callable]:
    """Register `dy/dx` as a function of (op, x, y, call)."""

    def decorate(function: Callable) -> Callable:
        def derivative(op: Builder, call: Call, operand: int) -> ir.Value:
            return function(op, call.operand(0), call.outputs[0], call)

        derivative.__doc__ = summary
        activation(*names, **options)(derivative)
        return function

    return decorate


def _step(op: Builder, condition: ir.Value, like: ir.Value) -> ir.Value:
    assert like.dtype is not None
    return op.cast(condition, like.dtype)


def _sigmoid_slope(op: Builder, s: ir.Value) -> ir.Value:
    return op.Mul(s, op.Sub(1.0, s))


def _alpha(call: Call, default: float) -> float:
    return float(call.attr("alpha", default))


# fmt: off
_formula("Relu", sign="rectified", activation="rectifier")(lambda op, x, y, c: _step(op, op.Greater(y, 0.0), y))
_formula("Sigmoid", summary=KEEPS, sign="nonnegative", activation="gate", head="squash")(lambda op, x, y, c: _sigmoid_slope(op, y))
_formula("Tanh", sign="same")(lambda op, x, y, c: op.Sub(1.0, op.Mul(y, y)))
_formula("Exp", summary=KEEPS, sign="nonnegative")(lambda op, x, y, c: y)
_formula("Log", summary=DERIVED)(lambda op, x, y, c: op.Reciprocal(x))
_formula("Sqrt", sign="nonnegative")(lambda op, x, y, c: op.Div(0.5, y))
_formula("Reciprocal", summary=DERIVED, sign="keeps")(lambda op, x, y, c: op.Neg(op.Mul(y, y)))
_formula("Abs", sign="nonnegative")(lambda op, x, y, c: op.Sign(x))
_formula("Erf", sign="same")(lambda op, x, y, c: op.Mul(2 / _ROOT_PI, op.Exp(op.Neg(op.Mul(x, x)))))
_formula("Softplus", summary=KEEPS, sign="nonnegative")(lambda op, x, y, c: op.Sigmoid(x))
_formula("Softsign", sign="same")(lambda op, x, y, c: op.Reciprocal(op.Mul(op.Add(1.0, op.Abs(x)), op.Add(1.0, op.Abs(x)))))
_formula("Sin")(lambda op, x, y, c: op.Cos(x))
_formula("Cos", summary=KEEPS)(lambda op, x, y, c: op.Neg(op.Sin(x)))
_formula("Tan")(lambda op, x, y, c: op.Add(1.0, op.Mul(y, y)))
_formula("Sinh", sign="same")(lambda op, x, y, c: op.Sqrt(op.Add(1.0, op.Mul(y, y))))
_formula("Cosh", summary=KEEPS, sign="nonnegative")(lambda op, x, y, c: op.Mul(0.5, op.Sub(op.Exp(x), op.Exp(op.Neg(x)))))
_formula("Asin", sign="same")(lambda op, x, y, c: op.Reciprocal(op.Sqrt(op.Sub(1.0, op.Mul(x, x)))))
_formula("Acos", summary=KEEPS, sign="nonnegative")(lambda op, x, y, c: op.Neg(op.Reciprocal(op.Sqrt(op.Sub(1.0, op.Mul(x, x))))))
_formula("Atan", sign="same")(lambda op, x, y, c: op.Reciprocal(op.Add(1.0, op.Mul(x, x))))
_formula("Asinh", sign="same")(lambda op, x, y, c: op.Reciprocal(op.Sqrt(op.Add(op.Mul(x, x), 1.0))))
_formula("Acosh", summary=DERIVED, sign="nonnegative")(lambda op, x, y, c: op.Reciprocal(op.Sqrt(op.Sub(op.Mul(x, x), 1.0))))
_formula("Atanh", sign="same")(lambda op, x, y, c: op.Reciprocal(op.Sub(1.0, op.Mul(x, x))))
_formula("LeakyRelu", sign=lambda c: "same" if _alpha(c, 0.01) >= 0 else "keeps")(lambda op, x, y, c: op.Where(op.Less(x, 0.0), op.number(_alpha(c, 0.01), x), op.number(1.0, x)))
_formula("ThresholdedRelu", sign=lambda c: "rectified" if _alpha(c, 1.0) >= 0 else "keeps")(lambda op, x, y, c: _step(op, op.Greater(x, _alpha(c, 1.0)), y))
_formula("HardSigmoid", summary=KEEPS, sign="nonnegative", activation="gate")(lambda op, x, y, c: op.Mul(_alpha(c, 0.2), _step(op, op.And(op.Greater(y, 0.0), op.Less(y, 1.0)), y)))
_formula("Elu", sign=lambda c: "same" if _alpha(c, 1.0) >= 0 else "keeps")(lambda op, x, y, c: op.Where(op.Greater(x, 0.0), op.number(1.0, x), op.Add(y, _alpha(c, 1.0))))
_formula("Celu", sign=lambda c: "same" if _alpha(c, 1.0) >= 0 else "keeps")(lambda op, x, y, c: op.Where(op.Greater(x, 0.0), op.number(1.0, x), op.Exp(op.Div(x, _alpha(c, 1.0)))))
# fmt: on


def _selu_sign(call: Call) -> str:
    return "same" if _alpha(call, 1.0) >= 0 and float(call.attr("gamma", 1.0)) >= 0 else "unknown"


@_formula("Selu", sign=_selu_sign)
def selu(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of Selu: γ for x > 0, y + γα below."""
    alpha, gamma = _alpha(call, 1.67326319217681884765625), float(call.attr("gamma", 1.05070102214813232421875))
    return op.Where(op.Greater(x, 0.0), op.number(gamma, x), op.Add(y, alpha * gamma))


@_formula("HardSwish", sign="same", activation="soft")
def hard_swish(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of HardSwish: 0 up to −3, 1 from 3, (2x + 3)/6 between."""
    between = op.Div(op.Add(op.Mul(2.0, x), 3.0), 6.0)
    above = op.Where(op.GreaterOrEqual(x, 3.0), op.number(1.0, x), between)
    return op.Where(op.LessOrEqual(x, -3.0), op.number(0.0, x), above)


@_formula("Gelu", sign="same", activation="soft")
def gelu(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of Gelu: Φ(x) + x·φ(x), or that of the tanh form."""
    if call.attr("approximate", "none") == "tanh":
        k = math.sqrt(2 / math.pi)
        t = op.Tanh(op.Mul(k, op.Add(x, op.Mul(0.044715, op.Mul(x, op.Mul(x, x))))))
        inner = op.Mul(k, op.Add(1.0, op.Mul(3 * 0.044715, op.Mul(x, x))))
        slope = op.Mul(op.Mul(x, op.Sub(1.0, op.Mul(t, t))), inner)
        return op.Mul(0.5, op.Add(op.Add(1.0, t), slope))
    cumulative = op.Mul(0.5, op.Add(1.0, op.Erf(op.Mul(x, math.sqrt(0.5)))))
    density = op.Mul(1 / math.sqrt(2 * math.pi), op.Exp(op.Mul(-0.5, op.Mul(x, x))))
    return op.Add(cumulative, op.Mul(x, density))


@_formula("Mish", sign="same", activation="soft")
def mish(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of Mish: t + x·σ(x)·(1 − t²) with t = tanh(softplus(x))."""
    t = op.Tanh(op.Softplus(x))
    return op.Add(t, op.Mul(x, op.Mul(op.Sigmoid(x), op.Sub(1.0, op.Mul(t, t)))))


@_formula("Swish", sign="same", activation="soft")
def swish(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of Swish: σ(αx)·(1 + αx·(1 − σ(αx)))."""
    scaled = op.Mul(_alpha(call, 1.0), x)
    s = op.Sigmoid(scaled)
    return op.Mul(s, op.Add(1.0, op.Mul(scaled, op.Sub(1.0, s))))


@_formula("Shrink")
def shrink(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of Shrink: 1 outside of [−λ, λ], 0 inside."""
    return _step(op, op.Greater(op.Abs(x), float(call.attr("lambd", 0.5))), y)


def _clip_sign(call: Call) -> str:
    low, high = content(call.input(1)), content(call.input(2))
    if call.input(2) is not None and (high is None or bool((high < 0).any())):
        return "unknown"
    if low is not None and low.size and bool((low >= 0).all()):
        return "nonnegative" if low.any() else "rectified"
    return "same" if call.input(1) is None or (low is not None and bool((low <= 0).all())) else "keeps"


def _clip_operands(call: Call) -> list[int]:
    """Name the operands of a Clip that may carry a gradient: x, and bounds that are not constants in the file."""
    return [0, *(i for i in (1, 2) if (v := call.input(i)) is not None and v.const_value is None)]


@activation("Clip", sign=_clip_sign, operands=_clip_operands, gradient_only=(1, 2))
def clip(op: Builder, call: Call, operand: int) -> ir.Value:
    """Relevance passes unchanged."""
    # y = min(max(x, low), high): the derivative is 1 by the operand that y equals, and 0 by the others.
    x, low, high = call.operand(0), call.input(1), call.input(2)
    if operand == 0:
        inside = [compare(x, v) for compare, v in ((op.GreaterOrEqual, low), (op.LessOrEqual, high)) if v is not None]
        return _step(op, functools.reduce(op.And, inside), x) if inside else op.full_like(x, 1)
    bound = call.operand(operand)
    beyond = op.Less(x, bound) if operand == 1 else op.Greater(x, bound)
    if low is not None and high is not None:
        crossed = op.Greater(low, high)
        beyond = op.And(beyond, op.Not(crossed)) if operand == 1 else op.Or(beyond, crossed)
    return _step(op, beyond, x)


@activation("PRelu", operands=all_operands, gradient_only=(1,))
def prelu(op: Builder, call: Call, operand: int) -> ir.Value:
    """Relevance passes unchanged."""
    # ∂x is the slope where x < 0, else 1; ∂slope is x where x < 0, else 0.
    x = call.operand(0)
    if operand == 1:
        return op.Min(x, op.number(0.0, x))
    return op.Where(op.Less(x, 0.0), call.operand(1), op.number(1.0, x))


@_formula("Floor", "Ceil", "Round", "Sign", sign="unknown", piecewise_constant=True)
def steps(op: Builder, x: ir.Value, y: ir.Value, call: Call) -> ir.Value:
    """Compute the derivative of a step function, which is 0: the function is constant between its steps."""
    return op.Mul(x, 0.0)
