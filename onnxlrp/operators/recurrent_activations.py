"""Activations of LSTM, GRU and RNN, by the names and parameters in their attributes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import over_change
from onnxlrp.operators.registry import find

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_ALPHA = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
_BETA = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}
_OWN = {
    "relu": "Relu",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "leakyrelu": "LeakyRelu",
    "thresholdedrelu": "ThresholdedRelu",
    "hardsigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
"""Activations that are ONNX operators too, by the operator's name."""


@dataclasses.dataclass(frozen=True)
class _Function:
    """An activation and its parameters."""

    name: str
    alpha: float | None
    beta: float | None

    def value(self, op: Builder, x: ir.Value) -> ir.Value:
        """Compute f(x)."""
        if self.name == "affine":
            return op.Add(op.Mul(x, self.alpha), self.beta)
        if self.name == "scaledtanh":
            return op.Mul(op.Tanh(op.Mul(x, self.beta)), self.alpha)
        return getattr(op, _OWN[self.name])(x, **self._settings())

    def slope(self, op: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        """Compute f′(x), given y = f(x)."""
        if self.name == "affine":
            return op.full_like(x, float(self.alpha or 0))
        if self.name == "scaledtanh":
            t = op.Tanh(op.Mul(x, self.beta))
            return op.Mul(op.Sub(1.0, op.Mul(t, t)), float(self.alpha or 0) * float(self.beta or 0))
        attributes = {k: ir.AttrFloat32(k, v) for k, v in self._settings().items()}
        call = Call(_OWN[self.name], "", None, attributes, (x,), (y,))
        entry = find(call)
        assert entry is not None
        return entry.function(op, call, 0)

    def _settings(self) -> dict[str, float]:
        given = {"alpha": self.alpha, "beta": self.beta}
        return {k: v for k, v in given.items() if v is not None}


@dataclasses.dataclass(frozen=True)
class Activation:
    """The activation of a gate, one function for each direction, applied after the clip."""

    functions: tuple[_Function, ...]
    clip: float | None = None

    def value(self, op: Builder, x: ir.Value) -> ir.Value:
        """Compute f(clip(x)); the third-last axis holds the directions."""
        return self._each(op, lambda f, x: f.value(op, x), self._clipped(op, x))

    def slope(self, op: Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        """Compute the derivative, given y = f(clip(x)); it is 0 where x was clipped."""
        inside = self._clipped(op, x)
        slope = self._each(op, lambda f, x, y: f.slope(op, x, y), inside, y)
        return slope if self.clip is None else op.Where(op.Equal(inside, x), slope, op.number(0.0, x))

    def quotient(self, op: Builder, x: ir.Value, x0: ir.Value) -> ir.Value:
        """Compute the change of f(clip(x)) from another argument over that of x; the derivative where x is the same."""
        y = self.value(op, x)
        return over_change(op, op.Sub(y, self.value(op, x0)), op.Sub(x, x0), self.slope(op, x, y))

    def _clipped(self, op: Builder, x: ir.Value) -> ir.Value:
        if self.clip is None:
            return x
        return op.Clip(x, op.number(-self.clip, x), op.number(self.clip, x))

    def _each(self, op: Builder, function: Callable[..., ir.Value], *values: ir.Value) -> ir.Value:
        first, *others = self.functions
        if all(f == first for f in others):
            return function(first, *values)
        apart = zip(*(op.Split(v, axis=-3, num_outputs=2, _outputs=2) for v in values), strict=True)
        return op.Concat(*(function(f, *v) for f, v in zip(self.functions, apart, strict=True)), axis=-3)


def text_of(given: str | bytes) -> str:
    """Return the text of an attribute in lower case."""
    return (given.decode() if isinstance(given, bytes) else given).lower()


def functions(call: Call, directions: int) -> list[tuple[_Function, ...]]:
    """Read the functions f, g and h of a call, each with one entry for each direction.

    Functions with an alpha or a beta take the given numbers in order. When these are used up, they take the defaults of
    the operators of their names (onnxruntime then takes 0 for Affine, ScaledTanh and ThresholdedRelu).
    """
    names = [text_of(n) for n in call.attr("activations") or _ACTIVATIONS[call.op_type] * directions]
    alphas, betas = (iter(call.attr(f"activation_{k}") or ()) for k in ("alpha", "beta"))
    activations = [
        _Function(
            n,
            float(next(alphas, _ALPHA[n])) if n in _ALPHA else None,
            float(next(betas, _BETA[n])) if n in _BETA else None,
        )
        for n in names
    ]
    count = len(_ACTIVATIONS[call.op_type])
    return [tuple(activations[k::count][:directions]) for k in range(count)]


def unknown(call: Call) -> str | None:
    """Tell why a call has no rule: an activation that ONNX does not know; None where all are known."""
    known = {*_OWN, "affine", "scaledtanh"}
    strange = [n for n in map(text_of, call.attr("activations") or ()) if n not in known]
    return f"its activation {strange[0]!r} is none of ONNX's" if strange else None
