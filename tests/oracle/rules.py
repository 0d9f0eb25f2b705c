"""Every rule of docs/rules.md on a dense matrix, in float64, one sample at a time.

A layer is `z = A x + b` with `A` [out, in] and `b` [out] per output cell, whatever operator it comes from: clamping the
entries of `A` is clamping the weights, since each pair of cells is joined by at most one weight. Nothing here is shared
with the package, so that the two can only agree by both following docs/rules.md.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray


@dataclasses.dataclass(frozen=True)
class Layer:
    A: Array
    b: Array


class Rule:
    """A name of docs/rules.md with its parameters: here a formula, in the package an object of that name."""

    def __init__(self, name: str, **params: Any):
        self.name, self.params = name, params

    def __call__(self, layer: Layer, x: Array, r: Array, bounds: tuple[Array, Array] | None = None) -> Array:
        params = dict(self.params)
        if params.pop("zero_params", None) == "bias":
            layer = Layer(layer.A, np.zeros_like(layer.b))
        with clamping(params.pop("stabiliser", None)):
            return self._formula(layer, x, r, params, bounds)

    def _formula(
        self, layer: Layer, x: Array, r: Array, params: dict[str, Any], bounds: tuple[Array, Array] | None
    ) -> Array:
        if self.name == "ZBox":
            params["low"], params["high"] = bounds if bounds is not None else (params["low"], params["high"])
        return FORMULAS[self.name](layer, x, r, **params)

    def of_package(self) -> Any:
        from onnxlrp import rules

        return getattr(rules, self.name)(**self.params)

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{k}={np.shape(v) or v}' for k, v in self.params.items())})"


def stabilise(d: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    """Away from zero by ε + ρ·rms(d), or, within `clamping`, at least as far from it; zero itself upwards."""
    small, sign = epsilon + relative * np.sqrt(np.mean(d**2)), np.where(d < 0, -1, 1)
    return sign * np.maximum(np.abs(d), small) if _CLAMPS[-1] else d + sign * small


_CLAMPS = [False]
"""The innermost `clamping` is the last."""


@contextlib.contextmanager
def clamping(stabiliser: str | None) -> Iterator[None]:
    """Let stabilisers "clamp" or "add"; None: as they do already."""
    _CLAMPS.append(_CLAMPS[-1] if stabiliser is None else stabiliser == "clamp")
    try:
        yield
    finally:
        _CLAMPS.pop()


def divide(r: Array, d: Array, epsilon: float, relative: float) -> Array:
    """R / s(d); without any stabiliser nothing is shared out where d = 0."""
    s = stabilise(d, epsilon, relative)
    return np.divide(r, s, out=np.zeros_like(r), where=s != 0)


def plus(v: Array) -> Array:
    return np.maximum(v, 0)


def minus(v: Array) -> Array:
    return np.minimum(v, 0)


def lrp0(layer: Layer, x: Array, r: Array, epsilon: float = 0.0, relative: float = 0.0) -> Array:
    return x * (layer.A.T @ divide(r, layer.A @ x + layer.b, epsilon, relative))


def epsilon_rule(layer: Layer, x: Array, r: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    return x * (layer.A.T @ divide(r, layer.A @ x + layer.b, epsilon, relative))


def gamma_rule(
    layer: Layer, x: Array, r: Array, gamma: float = 0.25, epsilon: float = 1e-6, relative: float = 0.0
) -> Array:
    z = layer.A @ x + layer.b
    total = np.zeros_like(x)
    for gate, favoured, other in ((z > 0, plus, minus), (z < 0, minus, plus)):
        same, crossed = layer.A + gamma * favoured(layer.A), layer.A + gamma * other(layer.A)
        d = same @ plus(x) + crossed @ minus(x) + layer.b + gamma * favoured(layer.b)
        share = divide(np.where(gate, r, 0), d, epsilon, relative)
        total += plus(x) * (same.T @ share) + minus(x) * (crossed.T @ share)
    return total


def zplus(layer: Layer, x: Array, r: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    d = plus(layer.A) @ plus(x) + minus(layer.A) @ minus(x) + plus(layer.b)
    share = divide(r, d, epsilon, relative)
    return plus(x) * (plus(layer.A).T @ share) + minus(x) * (minus(layer.A).T @ share)


def alpha_beta(
    layer: Layer,
    x: Array,
    r: Array,
    alpha: float = 2.0,
    beta: float = 1.0,
    epsilon: float = 1e-6,
    relative: float = 0.0,
) -> Array:
    d = minus(layer.A) @ plus(x) + plus(layer.A) @ minus(x) + minus(layer.b)
    share = divide(r, d, epsilon, relative)
    negative = plus(x) * (minus(layer.A).T @ share) + minus(x) * (plus(layer.A).T @ share)
    return alpha * zplus(layer, x, r, epsilon, relative) - beta * negative


def zbox(layer: Layer, x: Array, r: Array, low: Any, high: Any, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    low, high = np.broadcast_to(low, x.shape), np.broadcast_to(high, x.shape)
    d = layer.A @ x + layer.b
    d = d - (plus(layer.A) @ low + plus(layer.b)) - (minus(layer.A) @ high + minus(layer.b))
    share = divide(r, d, epsilon, relative)
    return x * (layer.A.T @ share) - low * (plus(layer.A).T @ share) - high * (minus(layer.A).T @ share)


def wsquare(layer: Layer, x: Array, r: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    squares = layer.A**2
    return squares.T @ divide(r, squares.sum(1) + layer.b**2, epsilon, relative)


def flat(layer: Layer, x: Array, r: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    joined = (layer.A != 0).astype(x.dtype)
    return joined.T @ divide(r, joined.sum(1), epsilon, relative)


def passed(layer: Layer, x: Array, r: Array, epsilon: float = 0.0, relative: float = 0.0) -> Array:
    assert x.shape == r.shape
    return r


FORMULAS: dict[str, Callable[..., Array]] = {
    "LRP0": lrp0,
    "Epsilon": epsilon_rule,
    "Norm": epsilon_rule,
    "Pass": passed,
    "Gamma": gamma_rule,
    "ZPlus": zplus,
    "AlphaBeta": alpha_beta,
    "ZBox": zbox,
    "WSquare": wsquare,
    "Flat": flat,
}


def parameterless_flat(layer: Layer, x: Array, r: Array, epsilon: float = 1e-6, relative: float = 0.0) -> Array:
    """Flat for pools, resizes and sums: they have no weights to set to one, so only the input is."""
    return layer.A.T @ divide(r, layer.A.sum(1), epsilon, relative)
