"""Post-transforms of the scores of ai.onnx.ml's models, written out as onnxruntime computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_NUMBERS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT")
"""Names of the transforms, by their numbers in `TreeEnsemble`: onnxruntime applies LOGISTIC for 1 and SOFTMAX for 2,
which ONNX numbers the other way around."""


def transform(call: ir.Node | Call) -> str:
    """Return the name of a model's post-transform, "NONE" where it has none."""
    attribute = call.attributes.get("post_transform")
    value = "NONE" if attribute is None else attribute.value
    return _NUMBERS[value] if isinstance(value, int) else value


def has_transform(call: ir.Node | Call) -> bool:
    """Decide whether a model has a post-transform."""
    return transform(call) != "NONE"


def pair(op: Builder, score: ir.Value) -> ir.Value:
    """Turn a score s, [N, 1], into the scores −s and s of two classes, [N, 2]."""
    return op.Concat(op.Neg(score), score, axis=1)


def transformed(op: Builder, scores: ir.Value, kind: str, columns: int) -> ir.Value:
    """Apply a post-transform to scores [N, columns]; only PROBIT changes a single column."""
    if kind == "PROBIT":
        return _probit(op, scores)
    if columns == 1 or kind == "NONE":
        return scores
    if kind == "LOGISTIC":
        return op.Sigmoid(scores)
    return op.Softmax(scores, axis=1) if kind == "SOFTMAX" else _softmax_of_others(op, scores)


def two_classes(op: Builder, score: ir.Value, kind: str) -> ir.Value:
    """Turn a score s, [N, 1], into scores of two classes, [N, 2]: `1 − s` and `s`, or σ(−s) and σ(s) under LOGISTIC."""
    if kind == "LOGISTIC":
        return op.Sigmoid(pair(op, score))
    return op.Concat(op.Sub(op.number(1.0, score), score), score, axis=1)


def _softmax_of_others(op: Builder, scores: ir.Value) -> ir.Value:
    """Apply SOFTMAX_ZERO: the softmax over the scores that are not 0; the others stay 0."""
    counts = op.Greater(op.Abs(scores), op.number(1e-7, scores))
    # A finite number instead of −∞, so that no relevance of 0 is multiplied by infinity.
    shares = op.Softmax(op.Where(counts, scores, op.number(-1e38, scores)), axis=1)
    return op.Where(counts, shares, op.number(0.0, scores))


def _probit(op: Builder, p: ir.Value) -> ir.Value:
    """Compute `√2·erf⁻¹(2p − 1)` by Winitzki's approximation.

    With x = 2p − 1, l = log(1 − x²) and v = 2/(0.147π) + l/2 it is erf⁻¹(x) = sgn(x)·√(√(v² − l/0.147) − v).
    """
    x = op.Sub(op.Mul(2.0, p), 1.0)
    logarithm = op.Log(op.Mul(op.Sub(op.number(1.0, p), x), op.Add(op.number(1.0, p), x)))
    v = op.Add(op.Mul(0.5, logarithm), 2 / (3.14159 * 0.147))
    root = op.Sqrt(op.Sub(op.Sqrt(op.Sub(op.Mul(v, v), op.Mul(1 / 0.147, logarithm))), v))
    return op.Mul(op.Mul(float(np.sqrt(2)), op.Sign(x)), root)
