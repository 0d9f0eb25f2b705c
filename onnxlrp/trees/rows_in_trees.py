"""Rows of data that run down the trees at conversion."""

from __future__ import annotations

import operator

import numpy as np

from onnxlrp.trees.forest import LEAF, Array, Forest

_COMPARE = (operator.le, operator.lt, operator.ge, operator.gt, operator.eq, operator.ne)
"""Functions of the comparisons, by their numbers in `MODES`."""


def outcomes(trees: Forest, nodes: Array, values: Array) -> Array:
    """Compare values [nodes, ...] with the thresholds of nodes, as the runtime does: bool, in their shape.

    Both are compared in the type of the values, float32 or float64.
    """
    found = np.zeros(values.shape, bool)
    ahead = (slice(None), *[None] * (values.ndim - 1))
    compared = np.where(trees.whole[nodes][ahead], whole_part(values), values)
    threshold = trees.threshold[nodes].astype(values.dtype)[ahead]
    for mode in np.unique(trees.mode[nodes]):
        own = trees.mode[nodes] == mode
        found[own] = _COMPARE[mode](compared[own], threshold[own])
    return found | (trees.missing[nodes][ahead] & np.isnan(values))


def whole_part(values: Array) -> Array:
    """Convert numbers as C casts them to int32: without their fraction, to −2³¹ where they are out of range or NaN."""
    return np.where(np.abs(values) < 2.0**31, np.trunc(values), -(2.0**31)).astype(values.dtype)


def mean_of_rows(trees: Forest, rows: Array) -> Array:
    """Compute the mean over rows [rows, features] of the sums over the trees, [targets], float64."""
    total = np.zeros(trees.values.shape[1])
    for row in rows:
        at = trees.roots
        while (inner := trees.mode[at] != LEAF).any():
            passed = outcomes(trees, at[inner], row[trees.feature[at[inner]]])
            at = at.copy()
            at[inner] = np.where(passed, trees.yes[at[inner]], trees.no[at[inner]])
        total += trees.values[at].sum(0)
    return total * trees.scale / len(rows)
