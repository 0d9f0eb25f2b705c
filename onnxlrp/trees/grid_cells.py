"""Cells of the threshold grid: the comparisons of a whole forest cut the axis of each feature into them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnxlrp.trees.forest import Array, Forest

BELOW, POINT, ABOVE = 0, 1, 2
"""Kinds of marks: a cut just below a threshold, the threshold itself as a cell of its own, a cut just above it."""
_KIND = np.array([ABOVE, BELOW, BELOW, ABOVE, POINT, POINT, POINT])
"""Kind of mark by the number of a comparison in `forest.MODES`."""
_TURNED = np.array([False, False, True, True, False, True, False])
"""True for comparisons whose true branch holds the cells above a cut, or all cells but one."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """Cells of all features side by side on one line, ascending within a feature, and the marks of its comparisons.

    A feature's first cell lies below all of its marks; every cut begins a cell, and every point is one.
    """

    point: Array
    """True where a comparison asks for equality, [comparisons]."""
    turned: Array
    """True where the comparison's false branch is the side below its cut, or its point, [comparisons]."""
    place: Array
    """Place on the line of the first cell above a comparison's cut, or of its point, [comparisons]."""
    start: Array
    """Place of the first cell of a comparison's feature, [comparisons]."""
    stop: Array
    """Place just past the last cell of a comparison's feature, [comparisons]."""
    upto: Array
    """Number of cells before each place, [places + 1]: empty ones do not count."""

    @classmethod
    def of(cls, trees: Forest, nodes: Array) -> Cells:
        """Find the cells that the comparisons of some nodes cut; thresholds are compared in the runtime's own type."""
        threshold = trees.threshold[nodes].astype(np.float64 if trees.double else np.float32)
        mode, feature = trees.mode[nodes], trees.feature[nodes]
        numbers, rank = np.unique(threshold, return_inverse=True)
        width = 3 * max(numbers.size, 1)
        marks, which = np.unique(
            feature.astype(np.int64) * width + 3 * rank.reshape(-1) + _KIND[mode], return_inverse=True
        )
        ordinal = np.cumsum(np.diff(marks // width, prepend=marks[:1] // width) != 0)
        first = np.flatnonzero(np.diff(ordinal, prepend=-1, append=int(ordinal[-1] if marks.size else -1) + 1))
        start, place = first + np.arange(first.size), np.arange(marks.size) + ordinal + 1
        counts = _counted(marks, place, start[:-1], numbers, first[:-1])
        feature_of, start, place = ordinal[which], start.astype(np.int32), place.astype(np.int32)
        return cls(
            point=_KIND[mode] == POINT,
            turned=_TURNED[mode],
            place=place[which],
            start=start[feature_of],
            stop=start[feature_of + 1],
            upto=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        )


def _counted(marks: Array, place: Array, start: Array, numbers: Array, first: Array) -> Array:
    """Mark the cells that hold a number: none lies beyond an infinity, nor between two cuts around a point."""
    counts = np.ones(marks.size + start.size, np.int64)
    kind, number = marks % 3, numbers[marks // 3 % max(numbers.size, 1)]
    counts[place[(kind == ABOVE) & (number == np.inf)]] = 0
    least = first[(kind[first] == BELOW) & (number[first] == -np.inf)]
    counts[place[least] - 1] = 0
    around = np.flatnonzero((kind[:-2] == BELOW) & (np.diff(marks)[:-1] == 1) & (np.diff(marks)[1:] == 1))
    counts[place[around]] = 0
    return counts
