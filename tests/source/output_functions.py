"""Output functions of deployed models, as operators and written out, with what must be explained of each.

Every one is written on a linear score z, [N, 1]. `share` is what relevance sums to, over z, where z has no bias: the
signed argument of the innermost function that was skipped. It is None where nothing is skipped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

Graph = Any


@dataclasses.dataclass(frozen=True)
class Function:
    """One output function."""

    write: Callable[[Graph, str], str]
    share: float | None = 1.0


def _sigmoid(g: Graph, z: str) -> str:
    """1/(1 + exp(−z)), in four nodes."""
    return g.Div(1.0, g.Add(1.0, g.Exp(g.Neg(z))))


def _softplus(g: Graph, z: str) -> str:
    """log(1 + exp z), in three nodes."""
    return g.Log(g.Add(1.0, g.Exp(z)))


def _squared_sigmoid(g: Graph, z: str) -> str:
    p = g.Sigmoid(z)
    return g.Mul(p, p)


def _one_minus(g: Graph, value: str) -> str:
    return g.Sub(1.0, value)


def _stable_softplus(g: Graph, z: str) -> str:
    """max(z, 0) + log(1 + exp(−∣z∣)), which reads the score twice."""
    return g.Add(g.Relu(z), g.Log(g.Add(1.0, g.Exp(g.Neg(g.Abs(z))))))


def _log_odds(g: Graph, z: str) -> str:
    """log p − log(1 − p) of a sigmoid: the score again, by way of a function that has no value at p = 0."""
    p = g.Sigmoid(z)
    return g.Sub(g.Log(p), g.Log(_one_minus(g, p)))


def _half(g: Graph, value: str) -> str:
    """(value + 1)/2."""
    return g.Mul(0.5, g.Add(value, 1.0))


def _two_of_one(g: Graph, z: str) -> tuple[str, str]:
    return g.Sigmoid(z), g.Sigmoid(g.Mul(z, 0.5))


F = Function
ROOT = 2**-0.5
FUNCTIONS: dict[str, Function] = {
    "sigmoid": F(lambda g, z: g.Sigmoid(z)),
    "1 - sigmoid": F(lambda g, z: _one_minus(g, g.Sigmoid(z)), -1),
    "-sigmoid + 1": F(lambda g, z: g.Add(g.Neg(g.Sigmoid(z)), 1.0), -1),
    "5 * sigmoid": F(lambda g, z: g.Mul(5.0, g.Sigmoid(z))),
    "5 - 4 * sigmoid": F(lambda g, z: g.Sub(5.0, g.Mul(4.0, g.Sigmoid(z))), -1),
    "clip(sigmoid)": F(lambda g, z: g.Clip(g.Sigmoid(z), 1e-7, 1 - 1e-7)),
    "sigmoid ** 2": F(lambda g, z: g.Pow(g.Sigmoid(z), 2.0)),
    "sigmoid * itself": F(_squared_sigmoid),
    "sigmoid(-z)": F(lambda g, z: g.Sigmoid(g.Neg(z)), -1),
    "log(sigmoid)": F(lambda g, z: g.Log(g.Sigmoid(z))),
    "-log(sigmoid)": F(lambda g, z: g.Neg(g.Log(g.Sigmoid(z))), -1),
    "1 / (1 + exp(z))": F(lambda g, z: g.Div(1.0, g.Add(1.0, g.Exp(z))), -1),
    "1 / (1 + exp(-z))": F(_sigmoid),
    "reciprocal(1 + exp(-z))": F(lambda g, z: g.Reciprocal(g.Add(g.Exp(g.Neg(z)), 1.0))),
    "exp": F(lambda g, z: g.Exp(z)),
    "exp - 1": F(lambda g, z: g.Sub(g.Exp(z), 1.0)),
    "-exp": F(lambda g, z: g.Neg(g.Exp(z)), -1),
    "exp(-d)": F(lambda g, z: g.Exp(g.Neg(z)), -1),
    "exp * exposure": F(lambda g, z: g.Mul(g.Exp(z), 3.5)),
    "exp / exposure": F(lambda g, z: g.Div(g.Exp(z), 3.5)),
    "clip(exp)": F(lambda g, z: g.Clip(g.Exp(z), 1e-6, 1e6)),
    "softplus": F(lambda g, z: g.Softplus(z)),
    "softplus + floor": F(lambda g, z: g.Add(g.Softplus(z), 1e-3)),
    "log(1 + exp)": F(_softplus),
    "max(z, 0) + log(1 + exp(-|z|))": F(_stable_softplus, None),
    "log p - log(1 - p)": F(_log_odds, None),
    "elu + 1": F(lambda g, z: g.Add(g.Elu(z), 1.0)),
    "exp(-softplus)": F(lambda g, z: g.Exp(g.Neg(g.Softplus(z))), -1),
    "exp(-log(1 + exp))": F(lambda g, z: g.Exp(g.Neg(_softplus(g, z))), -1),
    "sqrt(softplus)": F(lambda g, z: g.Sqrt(g.Softplus(z))),
    "1 / softplus": F(lambda g, z: g.Div(1.0, g.Softplus(z)), -1),
    "reciprocal(softplus)": F(lambda g, z: g.Reciprocal(g.Softplus(z)), -1),
    "softplus ** -0.5": F(lambda g, z: g.Pow(g.Softplus(z), -0.5), -1),
    "hard sigmoid": F(lambda g, z: g.HardSigmoid(z, alpha=1 / 6)),
    "clip(z + 3, 0, 6) / 6": F(lambda g, z: g.Div(g.Clip(g.Add(z, 3.0), 0.0, 6.0), 6.0), None),
    "tanh": F(lambda g, z: g.Tanh(z), None),
    "(tanh + 1) / 2": F(lambda g, z: _half(g, g.Tanh(z))),
    "(1 + erf) / 2": F(lambda g, z: _half(g, g.Erf(z))),
    "normal cdf": F(lambda g, z: _half(g, g.Erf(g.Mul(z, ROOT))), ROOT),
    "1 - normal cdf": F(lambda g, z: _one_minus(g, _half(g, g.Erf(g.Mul(z, ROOT)))), -ROOT),
    "1.1 ** z": F(lambda g, z: g.Pow(1.1, z)),
    "0.9 ** z": F(lambda g, z: g.Pow(0.9, z), -1),
    "2 ** -z": F(lambda g, z: g.Pow(2.0, g.Neg(z)), -1),
    "1 - exp(-exp)": F(lambda g, z: _one_minus(g, g.Exp(g.Neg(g.Exp(z))))),
    "exp(-exp)": F(lambda g, z: g.Exp(g.Neg(g.Exp(z))), -1),
    "log(exp + 1e-6)": F(lambda g, z: g.Log(g.Add(g.Exp(z), 1e-6))),
    "mean of two sigmoids": F(lambda g, z: g.Mean(*_two_of_one(g, z)), None),
    "sum of two sigmoids": F(lambda g, z: g.Add(*_two_of_one(g, z)), None),
    "objectness * class": F(lambda g, z: g.Mul(g.Sigmoid(z), g.Sigmoid(g.Add(g.Mul(z, 0.7), 0.1))), None),
}
"""Monotone functions of one score, each with what its relevance sums to."""

PAIRS: dict[str, Function] = {
    "[1 - p, p]": F(lambda g, z: _complement(g, g.Sigmoid(z))),
    "[1 - p, p], written out": F(lambda g, z: _complement(g, _sigmoid(g, z))),
    "p * [-1, 1] + [1, 0]": F(lambda g, z: _broadcast(g, g.Sigmoid(z))),
    "clip([1 - p, p])": F(lambda g, z: g.Clip(_complement(g, g.Sigmoid(z)), 1e-7, 1 - 1e-7)),
    "log([1 - p, p])": F(lambda g, z: g.Log(_complement(g, g.Sigmoid(z)))),
    "[sigmoid(-z), sigmoid(z)]": F(lambda g, z: g.Concat(g.Sigmoid(g.Neg(z)), g.Sigmoid(z), axis=1)),
    "softmax([0, z])": F(lambda g, z: g.Softmax(g.Concat(_zero(g, z), z, axis=1), axis=1)),
    "softmax(pad(z))": F(lambda g, z: g.Softmax(g.Pad(z, np.array([0, 1, 0, 0])), axis=1)),
    "log-softmax([0, z])": F(lambda g, z: g.LogSoftmax(g.Concat(_zero(g, z), z, axis=1), axis=1)),
    "softmax([-z/2, z/2])": F(lambda g, z: g.Softmax(_halves(g, z), axis=1), 0.5),
    "softmax(z * [-1/2, 1/2])": F(lambda g, z: g.Softmax(g.Mul(z, np.array([[-0.5, 0.5]])), axis=1), 0.5),
    "[p, 1 - p]": F(lambda g, z: _complement(g, g.Sigmoid(z), first=True), -1),
    "normal cdf, both": F(lambda g, z: _complement(g, _half(g, g.Erf(g.Mul(z, ROOT)))), ROOT),
    "1 - exp(-exp), both": F(lambda g, z: _complement(g, _one_minus(g, g.Exp(g.Neg(g.Exp(z)))))),
}
"""Two classes of one score; `share` is the second class's, the first has its negative."""


def _complement(g: Graph, p: str, first: bool = False) -> str:
    q = _one_minus(g, p)
    return g.Concat(*((p, q) if first else (q, p)), axis=1)


def _broadcast(g: Graph, p: str) -> str:
    return g.Add(g.Mul(p, np.array([[-1.0, 1.0]])), np.array([[1.0, 0.0]]))


def _zero(g: Graph, z: str) -> str:
    """A column of zeros as long as the batch: it depends on the shape of the score alone."""
    return g.Expand(np.zeros((1, 1)), g.Shape(z))


def _halves(g: Graph, z: str) -> str:
    half = g.Mul(z, 0.5)
    return g.Concat(g.Neg(half), half, axis=1)


def split(g: Graph, z: str, *sizes: int) -> list[str]:
    return g.Split(z, np.array(sizes), outputs=len(sizes), axis=1)


def _beside(left: str, right: str) -> Callable[[Graph, str], str]:
    """Two heads of three scores each: operators by name, Identity for none."""

    def write(g: Graph, z: str) -> str:
        parts = zip((left, right), split(g, z, 3, 3), strict=True)
        made = [g.node(kind, v, **({"axis": 1} if kind == "Softmax" else {})) for kind, v in parts]
        return g.Concat(*made, axis=1)

    return write


def _normaliser(g: Graph, z: str) -> str:
    p = g.Sigmoid(z)
    return g.Div(p, g.ReduceSum(p, np.array([1]), keepdims=1))


def _guarded_normaliser(g: Graph, z: str) -> str:
    """Sigmoids over their sum as scikit-learn's converter writes them: where all are 0, the shares are alike."""
    p = g.Sigmoid(z)
    total = g.ReduceSum(p, np.array([1]), keepdims=1)
    none = g.Cast(g.Not(g.Cast(total, to=9)), to=11 if g.floating == np.float64 else 1)
    return g.Div(g.Add(p, none), g.Add(total, g.Mul(none, 6.0)))


def _over_length(g: Graph, z: str) -> str:
    """Sigmoids over their length, which is kept from 0."""
    p = g.Sigmoid(z)
    return g.Div(p, g.Max(g.ReduceL2(p, np.array([1]), keepdims=1), 1e-12))


def _softmax_written_out(g: Graph, z: str) -> str:
    e = g.Exp(g.Sub(z, g.ReduceMax(z, np.array([1]), keepdims=1)))
    return g.Div(e, g.ReduceSum(e, np.array([1]), keepdims=1))


HEADS: dict[str, Function] = {
    "softmax": F(lambda g, z: g.Softmax(z, axis=1)),
    "softmax, written out": F(_softmax_written_out),
    "log-softmax": F(lambda g, z: g.LogSoftmax(z, axis=1)),
    "log(softmax)": F(lambda g, z: g.Log(g.Softmax(z, axis=1))),
    "sigmoids over their sum": F(_normaliser),
    "sigmoids over their sum or alike": F(_guarded_normaliser),
    "sigmoids over their length": F(_over_length),
    "sigmoids, then LpNormalization": F(lambda g, z: g.LpNormalization(g.Sigmoid(z), axis=1, p=1)),
    "sigmoids": F(lambda g, z: g.Sigmoid(z)),
    "softmax beside softmax": F(_beside("Softmax", "Softmax")),
    "softmax beside sigmoids": F(_beside("Softmax", "Sigmoid")),
    "boxes beside sigmoids": F(_beside("Identity", "Sigmoid")),
    "exp beside softplus": F(_beside("Exp", "Softplus")),
}
"""Heads of six scores; every element of the output is explained by its own score."""

SIGMOIDS_BESIDE_TANH = F(_beside("Sigmoid", "Tanh"), None)
