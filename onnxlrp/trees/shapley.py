"""Shapley values of tree ensembles: the trees are cut into parts, and the rows into chunks, that fit into caches."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import floats, whole_numbers
from onnxlrp.trees.feature_sums import sums_by_feature, with_nothing
from onnxlrp.trees.forest import LEAF, Array, Forest
from onnxlrp.trees.leaf_groups import leaf_groups
from onnxlrp.trees.mean_of_runs import mean_of_runs
from onnxlrp.trees.pair_sums import PairSums
from onnxlrp.trees.path_changes import targets_of_trees
from onnxlrp.trees.pattern_tables import PatternTables, table_size
from onnxlrp.trees.pattern_values import interventional_game, shapley_game
from onnxlrp.trees.quadrature import Leaves, Quadrature
from onnxlrp.trees.row_chunks import in_chunks
from onnxlrp.trees.unfolded import Unfolded, unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_PART = 2**16
"""Most comparisons × points of a part, unless there would be too many parts."""
_PARTS = 64
_CHUNK = 2**22
"""Elements of the largest array: comparisons × points × rows."""
_DEEPEST = 20
"""Most comparisons on a path of trees that get tables."""
_FEWEST_ROWS = 8
_UNCHUNKED = 2**10
"""Rows are not cut into chunks where each takes fewer comparisons × points than this."""


def shapley_values(
    op: Builder, forest: Forest, x: ir.Value, factors: ir.Value, most: int, background: Array | None = None
) -> ir.Value:
    """Emit the Shapley values, [N, features], of rows x [N, features], for factors of the sums [N, targets].

    Tables hold at most `most` bytes; larger ones are not made, and the values are computed by quadrature. `background`,
    rows [rows, features], makes the game the interventional one: the mean over these rows of the game in which a
    feature that is not known has the row's value.
    """
    if (forest.mode[forest.roots] == LEAF).all():
        return op.full(op.shape(x), 0, factors.dtype)
    assert x.dtype is not None and factors.dtype is not None
    width, trees = _width(op, x, forest), unfolded(forest)
    values = _from_tables(op, trees, x.dtype, factors.dtype, width, most, background) or _Quadratures(
        op, trees, x.dtype, factors.dtype, width, background
    )
    relevance = _by_chunks(op, values, x, factors)
    if op.dims(x)[1] is not None:
        return relevance
    rest = op.Sub(op.dim(x, 1), op.ints([width]))
    return op.Pad(relevance, op.Concat(op.ints([0, 0, 0]), rest, axis=0))


def shapley_interactions(
    op: Builder, forest: Forest, x: ir.Value, factors: ir.Value, width: int, background: Array | None = None
) -> ir.Value:
    """Emit the Shapley interactions, [N, width, width], of rows x [N, width]: half the index of each pair at both its
    places, and 0 on the diagonal. The other arguments are those of `shapley_values`."""
    assert x.dtype is not None and factors.dtype is not None
    trees = unfolded(forest)
    pairs = _Interactions(op, trees, x.dtype, factors.dtype, width, background) if trees.node.size else None
    if pairs is not None and pairs.parts:
        return _by_chunks(op, pairs, x, factors)
    return op.full(op.Concat(op.dim(x, 0), op.ints([width, width]), axis=0), 0, factors.dtype)


def _by_chunks(op: Builder, values: _Tables | _Quadratures, x: ir.Value, factors: ir.Value) -> ir.Value:
    """Emit the result for all rows, a few at a time if there are many."""
    return in_chunks(op, values.rows, [x, factors], values.of) if values.rows else values.of(op, [x, factors])


def _from_tables(
    op: Builder,
    trees: Unfolded,
    rows_type: ir.DataType,
    dtype: ir.DataType,
    width: int,
    most: int,
    background: Array | None,
) -> _Tables | None:
    """Emit tables; None where they would hold more than `most` bytes."""
    # Each leaf has a row of at least its path's length in some table.
    if 4 * trees.node.size > most or len(trees.levels) > _DEEPEST:
        return None
    groups = leaf_groups(trees)
    if table_size(groups) * dtype.itemsize > most:
        return None
    game = shapley_game(groups)
    if background is not None:
        game = interventional_game(groups, background.astype(rows_type.numpy()))
    return _Tables(PatternTables(op, groups, game, rows_type, dtype), width)


class _Tables:
    """The Shapley values of an ensemble from tables of patterns."""

    def __init__(self, tables: PatternTables, width: int) -> None:
        self.tables, self.width = tables, width
        size = max(tables.width, tables.groups.trees.node.size)
        self.rows = 0 if size < _UNCHUNKED else max(_FEWEST_ROWS, _CHUNK // size)

    def of(self, op: Builder, tables: Sequence[ir.Value]) -> ir.Value:
        """Emit the values, [N, features], for rows and factors."""
        rows, factors = tables
        return self.tables.of(op, rows, factors, self.width)


def _width(op: Builder, x: ir.Value, forest: Forest) -> int:
    """Count the features; where that is unknown, those up to the last one that a tree compares."""
    return op.dims(x)[1] or int(forest.feature.max(initial=0)) + 1


class _Quadratures:
    """The Shapley values of an ensemble by quadrature, over parts of its trees."""

    axes: tuple[int, ...] = (1, 0)
    """Axes of the sums over the trees in the order of the result."""

    def __init__(
        self,
        op: Builder,
        trees: Unfolded,
        rows_type: ir.DataType,
        dtype: ir.DataType,
        width: int,
        background: Array | None,
    ) -> None:
        self.op, self.forest, self.dtype, self.width = op, trees.forest, dtype, width
        forest = trees.forest
        spoken = targets_of_trees(forest)
        self.several = bool((spoken.sum(1) > 1).any())
        """True where a tree has weights for several targets."""
        self.target = spoken.argmax(1)
        size = trees.node.size * max(1, (trees.distinct + 1) // 2)
        bounds = _bounds(trees, max(_PART, size // _PARTS) / size * trees.node.size)
        cut = [unfolded(forest, part) for part in bounds] if len(bounds) > 1 else [trees]
        self.parts = self._quadratures(cut, rows_type)
        self.baselines = 0 if background is None else len(background)
        self.stored = [] if background is None else [part.outcomes.stored(background) for part in self.parts]
        """Outcomes of the background rows, for each part."""
        largest = max((part.largest for part in self.parts), default=1)
        self.rows = 0 if size < _UNCHUNKED else max(_FEWEST_ROWS, _CHUNK // largest)
        """Rows in a chunk; 0 where all rows are one."""

    def _quadratures(self, cut: Sequence[Unfolded], rows_type: ir.DataType) -> Sequence[Quadrature]:
        return [Quadrature(self.op, part, rows_type, self.dtype) for part in cut]

    def of(self, op: Builder, tables: Sequence[ir.Value]) -> ir.Value:
        """Emit the result for rows and factors."""
        rows, factors = (op.Transpose(table, perm=[1, 0]) for table in tables)
        outcomes = [part.outcomes.of(op, rows, self.dtype) for part in self.parts]
        if not self.baselines:
            return op.Transpose(self._total(op, self.parts, outcomes, factors), perm=self.axes)

        def against(run: Builder, number: ir.Value) -> ir.Value:
            place = run.Reshape(number, run.ints([1]))
            taken = [run.cast(run.Gather(stored, place, axis=1), self.dtype) for stored in self.stored]
            games = [p.against(run, p.outcomes.joined(run, t)) for p, t in zip(self.parts, taken, strict=True)]
            return self._total(run, games, outcomes, factors)

        shape = op.Concat(op.ints([self.width] * (len(self.axes) - 1)), op.dim(rows, 1), axis=0)
        return op.Transpose(mean_of_runs(op, self.baselines, shape, self.dtype, against), perm=self.axes)

    def _total(
        self, op: Builder, parts: Sequence[Quadrature], outcomes: Sequence[ir.Value], factors: ir.Value
    ) -> ir.Value:
        """Emit the sums over all parts, for the outcomes of each."""
        sums = [
            self._sums(op, part, outcome, self._reached(op, part, factors), self._leaves(factors))
            for part, outcome in zip(parts, outcomes, strict=True)
        ]
        return functools.reduce(op.Add, sums)

    def _sums(self, op: Builder, part: Quadrature, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit the values of a part, [features, N]."""
        contributions = part.contributions(op, outcome, reached, leaves)
        return sums_by_feature(self.op, op, contributions, part.trees.feature, self.width)

    def _reached(self, op: Builder, part: Quadrature, factors: ir.Value) -> ir.Value:
        """Emit the factor of each tree, [1, trees, N] or [1, 1, N]."""
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


class _Interactions(_Quadratures):
    """The Shapley interactions of an ensemble."""

    axes = (2, 0, 1)

    def _quadratures(self, cut: Sequence[Unfolded], rows_type: ir.DataType) -> Sequence[PairSums]:
        parts = [PairSums(self.op, part, rows_type, self.dtype, self.width) for part in cut]
        return [part for part in parts if part.codes.size]

    def _sums(self, op: Builder, part: Quadrature, outcome: ir.Value, reached: ir.Value, leaves: Leaves) -> ir.Value:
        """Emit the interactions of a part, [features, features, N]."""
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
