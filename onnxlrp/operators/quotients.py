"""Difference quotients `(f(a) − f(b))/(a − b)` of elementwise functions, in forms that stay accurate near a = b.

`exp`: `e^{(a+b)/2}·sinh(h)/h` with `h = (a − b)/2`. `log`: `2·artanh(t)/(t·(a + b))` with `t = (a − b)/(a + b)`.
`√`: `1/(√a + √b)`. `1/x`: `−1/(a·b)`. `x^n`: `Σ a^k·b^{n−1−k}`. Product: each factor's quotient times the other's mean.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_NEAR = 0.25
"""Bound below which sinh(h)/h and artanh(t)/t are computed as series; above it a plain quotient loses less than two
bits."""
_TINY = 1e-30
"""Smallest argument of roots and logarithms, which keeps them finite at 0, where their factors are 0 anyway."""
_WHOLE = 6
"""Largest whole exponent whose quotient is a sum of products."""


def _series(op: Builder, v: ir.Value, coefficients: Sequence[float]) -> ir.Value:
    """Compute `c₀ + c₁·v + c₂·v² + …` by Horner's scheme."""
    total = op.number(coefficients[-1], v)
    for c in reversed(coefficients[:-1]):
        total = op.Add(op.Mul(total, v), c)
    return total


def _near_or_far(op: Builder, t: ir.Value, near: Callable[[ir.Value], ir.Value], far: ir.Value) -> ir.Value:
    """Select `near(t²)` where |t| is small, else `far`."""
    square = op.Min(op.Mul(t, t), op.number(_NEAR**2, t))
    return op.Where(op.Less(op.Abs(t), _NEAR), near(square), far)


def exp_quotient(op: Builder, a: ir.Value, b: ir.Value, difference: ir.Value | None = None) -> ir.Value:
    """Compute the difference quotient of exp between a and b; `difference` is a − b where it is known more accurately.

    For a and b far apart it is computed as `(e^a − e^b)/(a − b)`, which overflows only where exp itself does.
    """
    difference = op.Sub(a, b) if difference is None else difference
    h = op.Mul(difference, 0.5)
    apart = op.Where(op.Equal(difference, 0.0), op.number(1.0, a), difference)
    far = op.Div(op.Sub(op.Exp(a), op.Exp(b)), apart)
    middle = op.Exp(op.Mul(op.Add(a, b), 0.5))
    return _near_or_far(op, h, lambda v: op.Mul(middle, _series(op, v, _SINH)), far)


_SINH = [1 / math.factorial(2 * k + 1) for k in range(6)]
_ARTANH = [1 / (2 * k + 1) for k in range(12)]


def log_quotient(op: Builder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Compute the difference quotient of log between positive a and b."""
    total, difference = op.Add(a, b), op.Sub(a, b)
    t = op.Div(difference, total)
    apart = op.Where(op.Equal(difference, 0.0), op.number(1.0, a), difference)
    far = op.Div(op.Sub(op.Log(a), op.Log(b)), apart)
    return _near_or_far(op, t, lambda v: op.Div(op.Mul(_series(op, v, _ARTANH), 2.0), total), far)


def sqrt_quotient(op: Builder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Compute the difference quotient of the square root between a and b, which must not be negative."""
    return op.Reciprocal(op.Max(op.Add(op.Sqrt(a), op.Sqrt(b)), op.number(_TINY, a)))


def reciprocal_quotient(op: Builder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Compute the difference quotient of 1/x between a and b."""
    return op.Neg(op.Reciprocal(op.Mul(a, b)))


def _whole_quotient(op: Builder, a: ir.Value, b: ir.Value, exponent: int) -> ir.Value:
    """Compute `Σ a^k·b^{n−1−k}`, the difference quotient of x^n for n ≥ 1."""

    def power(x: ir.Value, n: int) -> list[ir.Value]:
        return [x] * n

    products = [[*power(a, k), *power(b, exponent - 1 - k)] for k in range(exponent)]
    terms = [functools.reduce(op.Mul, factors) for factors in products if factors]
    return functools.reduce(op.Add, terms) if terms else op.number(1.0, a)


def pow_quotient(op: Builder, a: ir.Value, b: ir.Value, exponent: float) -> ir.Value:
    """Compute the difference quotient of x^p between a and b, which must be positive unless p is a whole number."""
    if exponent == 0.5:
        return sqrt_quotient(op, a, b)
    if exponent == int(exponent) and 1 <= abs(exponent) <= _WHOLE:
        if exponent > 0:
            return _whole_quotient(op, a, b, int(exponent))
        inverse = _whole_quotient(op, op.Reciprocal(a), op.Reciprocal(b), int(-exponent))
        return op.Mul(inverse, reciprocal_quotient(op, a, b))
    a, b = (op.Max(x, op.number(_TINY, x)) for x in (a, b))
    logarithms = (op.Mul(op.Log(x), exponent) for x in (a, b))
    return op.Mul(op.Mul(exp_quotient(op, *logarithms), exponent), log_quotient(op, a, b))
