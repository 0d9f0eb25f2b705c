"""The columns of an ensemble's output, computed from the sums over its trees."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.trees.forest import Forest

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Columns:
    """The map from the sums over the trees to the columns of the output: `sums · matrix + constant`."""

    matrix: np.ndarray
    """Matrix, [targets, columns]."""
    constant: np.ndarray
    """Constant, [columns]."""


def score_columns(call: Call, trees: Forest) -> Columns:
    """Return the map from sums to outputs that onnxruntime uses.

    If only the first of two classes has weights, their sum s is the score of the second class, and the first has
    `1 − s`, or `−s` if a weight is negative.
    """
    count, base = trees.values.shape[1], trees.base
    constant = base if base.size == count else np.zeros(count)
    if _bases_follow_weights(call, count):
        constant = np.where(trees.has_weight.any(0), constant, 0)
    own = Columns(np.eye(count), constant)
    if call.op_type != "TreeEnsembleClassifier" or count != 2:
        return own
    first, second = bool(trees.has_weight[:, 0].any()), bool(trees.has_weight[:, 1].any())
    extra = float(base[0]) if base.size and first else 0.0
    if first and second:
        return dataclasses.replace(own, constant=np.array([extra, 0.0]))
    if second:
        return dataclasses.replace(own, constant=np.zeros(2))
    rest = 1.0 if (trees.values >= 0).all() else 0.0
    return Columns(np.array([[-1.0, 1.0], [0.0, 0.0]]), np.array([rest - extra, extra]))


def differ_by_sample(call: Call, trees: Forest) -> bool:
    """Decide whether the map from sums to outputs differs from sample to sample.

    onnxruntime leaves out the base value of one of several targets, and of two classes with one score, where no leaf
    that a sample reaches has a weight for it. Two classes get other scores where such leaves have weights for one of
    them or for none.
    """
    count, base = trees.values.shape[1], trees.base
    has_base = np.not_equal(base if base.size == count else np.full(count, base.any()), 0)
    asked = np.asarray(trees.has_weight.any(0))
    if _bases_follow_weights(call, count):
        asked &= has_base
    elif call.op_type != "TreeEnsembleClassifier" or count != 2:
        return False
    elif not asked[1]:
        asked &= has_base
    elif not asked[0]:
        asked &= bool((trees.values >= 0).all())
    return bool(asked.any()) and not trees.always_weighed[asked].all()


def _bases_follow_weights(call: Call, count: int) -> bool:
    return call.op_type == "TreeEnsembleRegressor" and count > 1


def factors_of_sums(op: Builder, c: ir.Value, columns: Columns) -> ir.Value:
    """Convert factors of the output's columns to factors of the sums."""
    if np.array_equal(columns.matrix, np.eye(len(columns.matrix))):
        return c
    return op.MatMul(c, op.constant(columns.matrix.T, c.dtype))
