"""Rows of data that run down the trees at conversion."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.trees.forest import LEAF, Array, Forest
from onnxlrp.trees.unfolded import Unfolded

_COMPARE = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
"""Comparisons, by their numbers in `forest.MODES`; sets have been expanded."""


@dataclasses.dataclass(frozen=True, eq=False)
class Baselines:
    """Background rows that a sample is compared with."""

    rows: Array
    """Rows at the ensemble's operand, [rows, features], float32 or float64 as thresholds are compared."""
    weights: Array
    """Weights of the rows in the mean over them, [rows], which add up to 1."""


def baselines_of(call: Call) -> Baselines | None:
    """Read the background rows that the planner gave a call for the interventional game, and their weights, which are
    equal by default; None for another game."""
    if call.attr("game") != "interventional":
        return None
    x, rows, weights = call.original[0], call.attr("background").numpy(), call.attr("background_weights")
    kind = np.float64 if x is not None and x.dtype == ir.DataType.DOUBLE else np.float32
    equal = np.full(len(rows), 1 / len(rows))
    return Baselines(rows.astype(kind), equal if weights is None else weights.numpy())


def outcomes(trees: Forest, nodes: Array, values: Array) -> Array:
    """Compare values [nodes, ...] with the thresholds of nodes, as the runtime does: bool, in their shape.

    Both are compared in the type of the values, float32 or float64.
    """
    axes = (-1, *[1] * (values.ndim - 1))
    threshold = trees.threshold[nodes].astype(values.dtype).reshape(axes)
    compared = values
    if trees.whole.any():
        compared = np.where(trees.whole[nodes].reshape(axes), _whole_part(values), values)
    modes = np.unique(trees.mode[nodes])
    if modes.size == 1:
        found = _COMPARE[modes[0]](compared, threshold)
    else:
        found = np.zeros(values.shape, bool)
        for mode in modes:
            own = trees.mode[nodes] == mode
            found[own] = _COMPARE[mode](compared[own], threshold[own])
    return found | (trees.missing[nodes].reshape(axes) & np.isnan(values))


def comparison_outcomes(trees: Unfolded, rows: Array) -> Array:
    """Compute the outcomes of all comparisons, bool [comparisons, rows], for rows [rows, features]."""
    found = np.zeros((trees.node.size, len(rows)), bool)
    for places, nodes in trees.members():
        found[places] |= outcomes(trees.forest, nodes, rows.T[trees.forest.feature[nodes]])
    return found


def _whole_part(values: Array) -> Array:
    """Convert numbers as C casts them to int32: without their fraction, to −2³¹ where they are out of range or NaN."""
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(values) < 2.0**31, np.trunc(values), -(2.0**31)).astype(values.dtype)


def mean_of_rows(trees: Forest, background: Baselines) -> Array:
    """Compute the mean over background rows of the sums over the trees, [targets], float64."""
    total = np.zeros(trees.values.shape[1])
    for row, weight in zip(background.rows, background.weights, strict=True):
        at = trees.roots
        while (inner := trees.mode[at] != LEAF).any():
            passed = outcomes(trees, at[inner], row[trees.feature[at[inner]]])
            at = at.copy()
            at[inner] = np.where(passed, trees.yes[at[inner]], trees.no[at[inner]])
        total += trees.values[at].sum(0) * weight
    return total * trees.scale
