"""The builder of relevance on its way back, which knows the stabiliser that the composite divides by, and the bytes
that tables may take."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.profiles import ONNXRUNTIME, Profile
from onnxlrp.trees.table_budget import TableBudget

_LEAST = 2.0**-20
"""Least ε in float16: the power of two next to the usual 1e-6. The steps of float16 are 6e-8 there."""


class ReverseBuilder(Builder):
    """A builder with `op.stabilise(d)`, for every division by a denominator; operators' own reverses get one."""

    def __init__(
        self,
        graph: ir.Graph,
        scope: str,
        epsilon: float = 1e-6,
        tables: TableBudget | None = None,
        *,
        clamps: bool = False,
        profile: Profile = ONNXRUNTIME,
    ) -> None:
        super().__init__(graph, scope, profile)
        self.epsilon = epsilon
        """ε of every stabiliser that names none: the composite's."""
        self.clamps = clamps
        """True if the composite's stabiliser clamps, which the plan decides."""
        self.tables = tables or TableBudget()

    def inside(self, graph: ir.Graph, scope: str) -> ReverseBuilder:
        return ReverseBuilder(graph, scope, self.epsilon, self.tables, clamps=self.clamps, profile=self.profile)

    def stabilise(self, d: ir.Value, epsilon: float | None = None, *, nonnegative: bool = False) -> ir.Value:
        """Return `d + sgn(d)·ε`, or `sgn(d)·max(|d|, ε)` where the composite clamps, with sgn(0) = +1. If ε is 0,
        return d, with infinity where d is 0: a quotient by it is 0 there."""
        epsilon = least(self.epsilon if epsilon is None else epsilon, d.dtype)
        if epsilon == 0:
            return self.Where(self.Equal(d, 0.0), self.number(np.inf, d), d)
        if self.clamps:
            return self.clamped(d, self.number(epsilon, d), int(nonnegative))
        if nonnegative:
            return self.Add(d, epsilon)
        sign = self.Where(self.GreaterOrEqual(d, 0.0), self.number(epsilon, d), self.number(-epsilon, d))
        return self.Add(d, sign)

    def clamped(self, d: ir.Value, least: ir.Value, sign: int = 0) -> ir.Value:
        """Return `sgn(d)·max(|d|, least)` with sgn(0) = +1; `sign` is 1 or −1 where d never has the other sign."""
        if sign:
            return self.Max(d, least) if sign > 0 else self.Min(d, self.Neg(least))
        return self.Where(self.GreaterOrEqual(d, 0.0), self.Max(d, least), self.Min(d, self.Neg(least)))


def least(epsilon: float, dtype: ir.DataType | None) -> float:
    """Return ε, or in float16, where a small ε would vanish, at least `_LEAST`."""
    return max(epsilon, _LEAST) if dtype == ir.DataType.FLOAT16 and epsilon else epsilon
