"""Support vector machines in float64, a pair of classes and a vector at a time, straight from a node's attributes."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx

from tests.oracle.trees import attributes

Array = np.ndarray
EPSILON = 1e-6


@dataclasses.dataclass
class Decision:
    """A decision value: what each vector adds to it, and a constant."""

    vectors: Array
    weights: Array
    rho: float


@dataclasses.dataclass
class Machine:
    """All decision values of a node, and its kernel."""

    decisions: list[Decision]
    kernel: str
    gamma: float
    coef0: float
    degree: float
    reference: Array
    """What an RBF kernel is explained against, [features]: the mean of all support vectors, unless it is set."""

    def kernel_of(self, x: Array, u: Array) -> float:
        if self.kernel == "RBF":
            return float(np.exp(-self.gamma * ((x - u) ** 2).sum()))
        dot = float(x @ u)
        if self.kernel == "LINEAR":
            return dot
        inner = self.gamma * dot + self.coef0
        return inner**self.degree if self.kernel == "POLY" else float(np.tanh(inner))

    def value(self, x: Array, decision: Decision) -> float:
        kernels = (self.kernel_of(x, u) for u in decision.vectors)
        return sum(a * k for a, k in zip(decision.weights, kernels, strict=True)) + decision.rho

    def values(self, x: Array) -> Array:
        """[samples, decisions]"""
        return np.array([[self.value(row, d) for d in self.decisions] for row in np.asarray(x, np.float64)])

    def relevance(self, x: Array, arrived: Array) -> Array:
        """Of a sample's features, from what arrives at each of its decision values."""
        total = np.zeros_like(x, np.float64)
        for decision, r in zip(self.decisions, arrived, strict=True):
            share = r / stabilised(self.value(x, decision))
            for a, u in zip(decision.weights, decision.vectors, strict=True):
                total += self._to_features(x, u, share * a)
        return total

    def base(self, decision: Decision) -> float:
        """What the reference, or a constant, keeps of a decision value."""
        return self.value(self.reference, decision)

    def _to_features(self, x: Array, u: Array, c: float) -> Array:
        if self.kernel == "RBF":
            return c * rescaled(x, u, self.reference, self.gamma)
        r = c * self.kernel_of(x, u)
        if self.kernel == "LINEAR":
            return r * x * u / (x @ u)
        return r * self.gamma * x * u / stabilised(self.gamma * float(x @ u) + self.coef0)


def rescaled(x: Array, u: Array, r: Array, gamma: float) -> Array:
    """`(k(x) − k(r))·Δ_i/ΣΔ` of `k = e^{−γ·d²}` and `Δ_i = (r_i − u_i)² − (x_i − u_i)²`, as the rule is written.

    Only where both distances are all but equal, in the form of docs/rules.md: `γ·e^{−γ(d_x² + d_r²)/2}·sinh(h)/h`.
    """
    delta = (r - u) ** 2 - (x - u) ** 2
    of_x, of_r = ((x - u) ** 2).sum(), ((r - u) ** 2).sum()
    h = gamma * (of_r - of_x) / 2
    if abs(h) < 1e-4:
        return gamma * np.exp(-gamma * (of_x + of_r) / 2) * (1 + h * h / 6) * delta
    return (np.exp(-gamma * of_x) - np.exp(-gamma * of_r)) / (of_r - of_x) * delta


def stabilised(value: float) -> float:
    return value + (EPSILON if value >= 0 else -EPSILON)


def machine(node: onnx.NodeProto) -> Machine:
    """What a node with support vectors computes."""
    a = attributes(node)
    gamma, coef0, degree = a["kernel_params"]
    weights, rho = np.array(a["coefficients"], np.float64), a["rho"]
    if node.op_type == "SVMRegressor":
        vectors = np.array(a["support_vectors"], np.float64).reshape(a["n_supports"], -1)
        decisions = [Decision(vectors, weights, rho[0])]
    else:
        sizes = a["vectors_per_class"]
        vectors = np.array(a["support_vectors"], np.float64).reshape(sum(sizes), -1)
        rows, owner = weights.reshape(len(sizes) - 1, -1), np.repeat(np.arange(len(sizes)), sizes)
        decisions = []
        for i in range(len(sizes)):
            for j in range(i + 1, len(sizes)):
                of_i, of_j = owner == i, owner == j
                decisions.append(
                    Decision(
                        np.concatenate([vectors[of_i], vectors[of_j]]),
                        np.concatenate([rows[j - 1, of_i], rows[i, of_j]]),
                        rho[len(decisions)],
                    )
                )
    return Machine(decisions, a["kernel_type"], gamma, coef0, degree, vectors.mean(0))
