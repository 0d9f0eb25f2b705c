"""Any rule that the package's rule language can write, on a dense matrix, from the formula alone.

Of the package only the numbers are read, not what it makes of them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp import rules
from tests.oracle.rules import Array, Layer, Rule, minus, plus, stabilise


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listed(rules.Rule):
    """The package's rule of some shares."""

    listed: tuple[rules.Share, ...]

    def shares(self) -> tuple[rules.Share, ...]:
        return self.listed


def changed(v: Array, by: Any) -> Array:
    """A modifier's formula; what is 0 is no weight or bias, and stays it."""
    joined = (v != 0).astype(v.dtype)
    return by.same * v + by.plus * plus(v) + by.minus * minus(v) + by.square * v**2 + by.one * joined


class Written(Rule):
    """The same rule for the oracle."""

    def __init__(self, *shares: rules.Share, **params: Any):
        super().__init__("Epsilon", **params)
        self.shares = shares
        inputs = [term.x for share in shares for term in share.terms]
        boxes = [share.box for share in shares if any(isinstance(t.x, rules.Above) for t in share.terms)]
        if boxes:
            self.name = "ZBox"
            self.params |= dict(zip(("low", "high"), boxes[0], strict=True))
        elif any(x.one for x in inputs):
            self.name = "Flat"
        self.condition = 1.0
        """How many times larger the parts of a sum have been than the sum: of a denominator, or of what is given."""

    def of_package(self) -> Listed:
        given = {k: v for k, v in self.params.items() if k not in ("low", "high")}
        return Listed(listed=self.shares, **given)

    def __call__(self, layer: Layer, x: Array, r: Array, bounds: tuple[Array, Array] | None = None) -> Array:
        if self.params.get("zero_params") == "bias":
            layer = Layer(layer.A, np.zeros_like(layer.b))
        z, total, given = layer.A @ x + layer.b, np.zeros_like(x), np.zeros_like(x)
        for share in self.shares:
            gate = {0: np.ones_like(z), 1: z > 0, -1: z < 0}[share.gate]
            terms = [(self.input(t.x, x, bounds), t.factor * changed(layer.A, t.weight), t) for t in share.terms]
            shifts = [t.factor * changed(layer.b, t.bias) for t in share.terms if t.bias is not None]
            d = sum(A @ v for v, A, _ in terms) + sum(shifts)
            parts = sum(np.abs(A) @ np.abs(v) for v, A, _ in terms) + sum(map(np.abs, shifts))
            s = share.coefficient * self.divided(np.where(gate, r, 0), d * np.ones_like(r), parts)
            total += sum(v * (A.T @ s) for v, A, _ in terms)
            given += sum(np.abs(v) * (np.abs(A).T @ np.abs(s)) for v, A, _ in terms)
        self._compare(given, total)
        return total

    def input(self, by: Any, x: Array, bounds: tuple[Array, Array] | None) -> Array:
        if isinstance(by, rules.Modifier):
            return by.same * x + by.plus * plus(x) + by.minus * minus(x) + by.square * x**2 + by.one
        assert bounds is not None
        return x - bounds[isinstance(by, rules.Below)]

    def divided(self, r: Array, d: Array, parts: Array) -> Array:
        s = stabilise(d, self.params.get("epsilon", 1e-6), self.params.get("relative", 0.0))
        for part, whole in zip(parts[r != 0], s[r != 0], strict=True):
            self._compare(part, whole)
        return np.divide(r, s, out=np.zeros_like(r), where=s != 0)

    def _compare(self, parts: Array, whole: Array) -> None:
        large, small = np.linalg.norm(parts), np.linalg.norm(whole)
        if large > 0:
            self.condition = max(self.condition, float(large / small) if small > 0 else np.inf)
