"""Shapley values of tree ensembles: the trees are cut into parts, and the rows into chunks, that fit into caches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import floats, whole_numbers
from onnxlrp.trees.feature_sums import sums_by_feature
from onnxlrp.trees.forest import LEAF, Array, Forest
from onnxlrp.trees.leaf_groups import leaf_groups
from onnxlrp.trees.path_changes import targets_of_trees
from onnxlrp.trees.pattern_tables import PatternTables, table_size
from onnxlrp.trees.pattern_values import shapley_game
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


def shapley_values(op: Builder, forest: Forest, x: ir.Value, factors: ir.Value, most: int) -> ir.Value:
    """Emit the Shapley values, [N, features], of rows x [N, features], for factors of the sums [N, targets].

    Tables hold at most `most` bytes; larger ones are not made, and the values are computed by quadrature.
    """
    if (forest.mode[forest.roots] == LEAF).all():
        return op.full(op.shape(x), 0, factors.dtype)
    assert x.dtype is not None and factors.dtype is not None
    width, trees = _width(op, x, forest), unfolded(forest)
    values = _from_tables(op, trees, x.dtype, factors.dtype, width, most) or _Quadratures(
        op, trees, x.dtype, factors.dtype, width
    )
    relevance = in_chunks(op, values.rows, [x, factors], values.of) if values.rows else values.of(op, [x, factors])
    if op.dims(x)[1] is not None:
        return relevance
    rest = op.Sub(op.dim(x, 1), op.ints([width]))
    return op.Pad(relevance, op.Concat(op.ints([0, 0, 0]), rest, axis=0))


def _from_tables(
    op: Builder, trees: Unfolded, rows_type: ir.DataType, dtype: ir.DataType, width: int, most: int
) -> _Tables | None:
    """Emit tables; None where they would hold more than `most` bytes."""
    # Each leaf has a row of at least its path's length in some table.
    if 4 * trees.node.size > most or len(trees.levels) > _DEEPEST:
        return None
    groups = leaf_groups(trees)
    if table_size(groups) * dtype.itemsize > most:
        return None
    return _Tables(PatternTables(op, groups, shapley_game(groups), rows_type, dtype), width)


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

    def __init__(self, op: Builder, trees: Unfolded, rows_type: ir.DataType, dtype: ir.DataType, width: int) -> None:
        self.op, self.forest, self.dtype, self.width = op, trees.forest, dtype, width
        forest = trees.forest
        spoken = targets_of_trees(forest)
        self.several = bool((spoken.sum(1) > 1).any())
        """True where a tree has weights for several targets."""
        self.target = spoken.argmax(1)
        size = trees.node.size * max(1, (trees.distinct + 1) // 2)
        bounds = _bounds(trees, max(_PART, size // _PARTS) / size * trees.node.size)
        cut = [unfolded(forest, part) for part in bounds] if len(bounds) > 1 else [trees]
        self.parts = [Quadrature(op, part, rows_type, dtype) for part in cut]
        largest = max(part.points * part.trees.node.size for part in self.parts)
        self.rows = 0 if size < _UNCHUNKED else max(_FEWEST_ROWS, _CHUNK // largest)
        """Rows in a chunk; 0 where all rows are one."""

    def of(self, op: Builder, tables: Sequence[ir.Value]) -> ir.Value:
        """Emit the values, [N, features], for rows and factors."""
        rows, factors = (op.Transpose(table, perm=[1, 0]) for table in tables)
        total = None
        for part in self.parts:
            leaves, reached = self._leaves(factors), self._reached(op, part, factors)
            contributions = part.contributions(op, rows, reached, leaves)
            sums = sums_by_feature(self.op, op, contributions, part.trees.feature, self.width)
            total = sums if total is None else op.Add(total, sums)
        assert total is not None
        return op.Transpose(total, perm=[1, 0])

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


def _bounds(trees: Unfolded, most: float) -> list[slice]:
    """Cut the trees into parts of about `most` comparisons each."""
    counts = np.bincount(trees.tree, minlength=len(trees.forest.roots))
    part = (np.cumsum(counts) - counts) // most
    starts = np.unique(part, return_index=True)[1]
    return [slice(int(a), int(b)) for a, b in zip(starts, [*starts[1:], counts.size], strict=True)]
