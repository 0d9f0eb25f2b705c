"""Linear models of ai.onnx.ml, written out as a dense layer, a label from its scores, and a softmax or sigmoid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.post_transforms import transform, transformed, two_classes
from onnxlrp.operators.registry import decomposed
from onnxlrp.operators.shape_functions import infer_classes, infer_targets

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def rows(op: Builder, x: ir.Value) -> ir.Value:
    """Return x as float32 [samples, features]; a vector is one sample."""
    x = op.cast(x, ir.DataType.FLOAT)
    return op.Reshape(x, op.ints([1, -1])) if len(op.dims(x)) == 1 else x


def _scores(op: Builder, call: Call, targets: int) -> ir.Value:
    """Compute `x · coefficientsᵀ + intercepts`, [N, targets]; intercepts are ignored unless there is one per target."""
    weight = np.asarray(call.attr("coefficients"), np.float32).reshape(targets, -1)
    bias = np.asarray(call.attr("intercepts", ()), np.float32)
    operands = [op.constant(weight), *([op.constant(bias)] if bias.size == targets else [])]
    return op.Gemm(rows(op, call.operand(0)), *operands, transB=1)


def _plain(call: Call) -> str | None:
    """Refuse inputs of more than two axes."""
    dims = call.operand(0).shape
    if dims is not None and len(dims) > 2:
        return "its input has more than two axes"
    return None


@decomposed("LinearRegressor", domain="ai.onnx.ml", refuse=_plain, inference=infer_targets("targets"))
def linear_regressor(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a dense layer."""
    targets = int(call.attr("targets", 1))
    return [transformed(op, _scores(op, call, targets), transform(call), targets)]


def _one_score(call: Call) -> bool:
    return len(call.attr("intercepts", ())) == 1


def _labels(call: Call) -> list[str] | list[int]:
    return list(call.attr("classlabels_strings", ()) or call.attr("classlabels_ints", ()))


def _refused(call: Call) -> str | None:
    if not call.attr("intercepts", ()):
        return "it has no intercepts, whose number is that of its classes"
    if _one_score(call) and (len(_labels(call)) != 2 or transform(call) == "PROBIT"):
        return "its one score needs two labels and another transform than PROBIT"
    return _plain(call)


@decomposed("LinearClassifier", domain="ai.onnx.ml", refuse=_refused, inference=infer_classes)
def linear_classifier(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a dense layer, the label of the largest score, and a softmax or sigmoid."""
    kind, labels = transform(call), _labels(call)
    names = op.words(labels) if isinstance(labels[0], str) else op.ints(labels)
    count = len(call.attr("intercepts"))
    scores = _scores(op, call, count)
    if _one_score(call):
        # The sign of the one score decides the label, whatever the transform does to the score.
        positive = op.Squeeze(op.Greater(scores, op.number(0.0, scores)), op.ints([1]))
        return [op.Gather(names, op.Cast(positive, to=ir.DataType.INT64)), two_classes(op, scores, kind)]
    label = op.Gather(names, op.ArgMax(scores, axis=1, keepdims=0))
    return [label, transformed(op, scores, kind, count)]
