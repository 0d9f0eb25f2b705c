"""Shapley values and interactions of a whole ensemble by quadrature, computed for a part of its trees at a time, so
that arrays fit into caches."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import floats, whole_numbers
from onnxlrp.trees.feature_sums import sums_by_feature, with_nothing
from onnxlrp.trees.forest import Array
from onnxlrp.trees.mean_of_runs import mean_of_runs
from onnxlrp.trees.pair_sums import PairSums
from onnxlrp.trees.path_changes import targets_of_trees
from onnxlrp.trees.quadrature import Leaves, Quadrature
from onnxlrp.trees.row_chunks import CHUNK, FEWEST_ROWS, UNCHUNKED, in_chunks
from onnxlrp.trees.rows_in_trees import Baselines
from onnxlrp.trees.unfolded import Unfolded, unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_PART = 2**16
"""Largest product of comparisons and quadrature points in a part, unless that makes too many parts."""
_PARTS = 64
_LEVELS = 160
"""Largest number of levels in all parts together: conversion and onnxruntime take long for so many nodes. Of 600,000
nodes of 26 levels, 64 parts took 21 s and 40 s, 16 parts 7 s and 6 s, and 4 parts 2 s each."""


class QuadratureValues:
    """The Shapley values of an ensemble: the constructor emits the constants, `by_chunks` the nodes that compute on
    rows."""

    axes: tuple[int, ...] = (1, 0)
    """Permutation that brings the axes of `_sums` into the order of the result, samples first."""

    def __init__(
        self,
        op: Builder,
        trees: Unfolded,
        rows_type: ir.DataType,
        dtype: ir.DataType,
        width: int,
        background: Baselines | None = None,
    ) -> None:
        forest = trees.forest
        self.op, self.forest, self.dtype, self.width = op, forest, dtype, width
        spoken = targets_of_trees(forest)
        self.several = bool((spoken.sum(1) > 1).any())
        """True where a tree has weights for several targets."""
        self.target = spoken.argmax(1)
        size = trees.node.size * max(1, (trees.distinct + 1) // 2)
        parts = min(_PARTS, max(1, _LEVELS // len(trees.levels)))
        bounds = _bounds(trees, max(_PART, size // parts) / max(size, 1) * trees.node.size)
        cut = [unfolded(forest, part) for part in bounds] if len(bounds) > 1 else [trees]
        self.parts = self._parts(cut, rows_type)
        self.background = background
        self.stored = [] if background is None else [part.outcomes.stored(background.rows) for part in self.parts]
        """Outcomes of the background rows for each part."""
        largest = max((part.largest for part in self.parts), default=1)
        self.rows = 0 if size < UNCHUNKED else max(FEWEST_ROWS, CHUNK // largest)
        """Number of rows in a chunk; 0 if all rows are computed at once."""

    def _parts(self, trees: Sequence[Unfolded], rows_type: ir.DataType) -> Sequence[Quadrature]:
        return [Quadrature(self.op, part, rows_type, self.dtype) for part in trees]

    def by_chunks(self, x: ir.Value, factors: ir.Value, reference: ir.Value | None = None) -> ir.Value:
        """Emit the result for rows [N, features] and factors [N, targets], a few rows at a time if there are many.

        `reference`, [N, features], makes the game that in which a feature that is not known has this row's value.
        """
        tables = [x, factors] if reference is None else [x, factors, reference]
        computations = [functools.partial(self._of_part, number) for number in range(len(self.parts))]
        if self.rows:
            return in_chunks(self.op, self.rows, tables, computations)
        return functools.reduce(self.op.Add, [compute(self.op, tables) for compute in computations])

    def _of_part(self, number: int, op: Builder, tables: Sequence[ir.Value]) -> ir.Value:
        """Emit the result of a part of the trees for rows [N, features], factors [N, targets] and, if there are any,
        references."""
        part = self.parts[number]
        rows, factors, *references = (op.Transpose(table, perm=[1, 0]) for table in tables)
        outcome = part.outcomes.of(op, rows, self.dtype)
        if references:
            part = part.against(op, part.outcomes.of(op, references[0], self.dtype))
            return op.Transpose(self._result(op, part, outcome, factors), perm=self.axes)
        if self.background is None:
            return op.Transpose(self._result(op, part, outcome, factors), perm=self.axes)

        def against(run: Builder, row: ir.Value) -> ir.Value:
            place = run.Reshape(row, run.ints([1]))
            taken = run.cast(run.Gather(self.stored[number], place, axis=1), self.dtype)
            return self._result(run, part.against(run, part.outcomes.joined(run, taken)), outcome, factors)

        shape = op.Concat(op.ints([self.width] * (len(self.axes) - 1)), op.dim(rows, 1), axis=0)
        mean = mean_of_runs(op, self.background.weights, shape, self.dtype, against)
        return op.Transpose(mean, perm=self.axes)

    def _result(self, op: Builder, part: Quadrature, outcome: ir.Value, factors: ir.Value) -> ir.Value:
        return self._sums(op, part, outcome, self._reached(op, part, factors), self._leaves(factors))

    def _sums(self, op: Builder, part: Quadrature, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit the values, [features, N]."""
        contributions = part.contributions(op, outcome, reached, leaves)
        return sums_by_feature(self.op, op, contributions, part.trees.feature, self.width)

    def _reached(self, op: Builder, part: Quadrature, factors: ir.Value) -> ir.Value:
        """Emit the factor that multiplies each tree's values, [1, trees, N], or [1, 1, N] for one target; 1 if trees
        have several targets, because `_leaves` holds the factors then."""
        if self.several:
            return self.op.constant(np.ones((1, 1, 1)), self.dtype)
        if factors.shape is not None and factors.shape[0] == 1:
            return op.Unsqueeze(factors, op.ints([0]))
        roots = part.trees.tree[part.trees.levels[0].span]
        by_tree = op.Gather(factors, whole_numbers(self.op, self.target[roots]), axis=0)
        return op.Unsqueeze(by_tree, op.ints([0]))

    def _leaves(self, factors: ir.Value) -> Leaves:
        values = self.forest.values * self.forest.scale

        def one(op: Builder, nodes: Array) -> ir.Value:
            return self.op.Unsqueeze(floats(self.op, values[nodes].sum(1), self.dtype), self.op.ints([1]))

        def several(op: Builder, nodes: Array) -> ir.Value:
            return op.MatMul(floats(self.op, values[nodes], self.dtype), factors)

        return several if self.several else one


class QuadratureInteractions(QuadratureValues):
    """The Shapley interactions of an ensemble."""

    axes = (2, 0, 1)

    def _parts(self, trees: Sequence[Unfolded], rows_type: ir.DataType) -> Sequence[PairSums]:
        parts = [PairSums(self.op, part, rows_type, self.dtype, self.width) for part in trees if part.node.size]
        return [part for part in parts if part.codes.size]

    def _sums(self, op: Builder, part: Quadrature, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit the interactions, [features, features, N]."""
        assert isinstance(part, PairSums)
        places = np.full((self.width, self.width), part.codes.size)
        smaller, larger = np.divmod(part.codes, self.width)
        places[smaller, larger] = places[larger, smaller] = np.arange(part.codes.size)
        sums = with_nothing(op, part.sums(op, outcome, reached, leaves))
        return op.Gather(sums, whole_numbers(self.op, places), axis=0)


def _bounds(trees: Unfolded, most: float) -> list[slice]:
    """Cut the trees into parts of about `most` comparisons each."""
    counts = np.bincount(trees.tree, minlength=len(trees.forest.roots))
    part = (np.cumsum(counts) - counts) // most
    starts = np.unique(part, return_index=True)[1]
    return [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], counts.size], strict=True)]
