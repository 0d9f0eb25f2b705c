"""Shapley values of tree ensembles: from tables of patterns where these are small, else by quadrature."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.trees.by_quadrature import QuadratureInteractions, QuadratureValues
from onnxlrp.trees.forest import LEAF, Forest
from onnxlrp.trees.leaf_groups import LeafGroups, leaf_groups
from onnxlrp.trees.pattern_tables import PatternTables, table_size
from onnxlrp.trees.pattern_values import interventional_game, shapley_game
from onnxlrp.trees.rows_in_trees import Baselines
from onnxlrp.trees.table_budget import TableBudget
from onnxlrp.trees.unfolded import Unfolded, unfolded

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_DEEPEST = 20
"""Most comparisons on a path of trees that get tables."""


def shapley_values(
    op: Builder,
    forest: Forest,
    x: ir.Value,
    factors: ir.Value,
    budget: TableBudget,
    background: Baselines | None = None,
) -> ir.Value:
    """Emit the Shapley values, [N, features], of rows x [N, features], for factors of the sums [N, targets].

    `background` makes the game the interventional one: the mean over its rows of the game in which a feature that is
    not known has the row's value. Where the budget is too small for tables, the values are computed by quadrature.
    """
    if _is_constant(forest):
        return op.full(op.shape(x), 0, factors.dtype)
    assert x.dtype is not None and factors.dtype is not None
    width, trees = _width(op, x, forest), unfolded(forest)
    groups = _affordable(trees, budget, factors.dtype.itemsize)
    values: PatternTables | QuadratureValues
    if groups is None:
        values = QuadratureValues(op, trees, x.dtype, factors.dtype, width, background)
    else:
        game = shapley_game(groups) if background is None else interventional_game(groups, background)
        values = PatternTables(op, groups, game, x.dtype, factors.dtype, width)
    return _widened(op, values.by_chunks(x, factors), x, width)


def shapley_contrast(op: Builder, forest: Forest, x: ir.Value, reference: ir.Value, factors: ir.Value) -> ir.Value:
    """Emit the Shapley values, [N, features], of the change of the sums from the rows of `reference` to those of `x`,
    both [N, features], for factors of the sums [N, targets].

    The game is the interventional one with one background row for each sample: a feature that is not known has the
    reference's value. They add up to the change exactly, and a feature with the same value in both rows gets 0.
    """
    if _is_constant(forest):
        return op.full(op.shape(x), 0, factors.dtype)
    assert x.dtype is not None and factors.dtype is not None
    width = _width(op, x, forest)
    values = QuadratureValues(op, unfolded(forest), x.dtype, factors.dtype, width)
    return _widened(op, values.by_chunks(x, factors, reference), x, width)


def shapley_interactions(
    op: Builder, forest: Forest, x: ir.Value, factors: ir.Value, width: int, background: Baselines | None = None
) -> ir.Value:
    """Emit the Shapley interactions, [N, width, width], of rows x [N, width]: half the index of each pair at both its
    places, and 0 on the diagonal. The other arguments are those of `shapley_values`."""
    assert x.dtype is not None and factors.dtype is not None
    nothing = op.full(op.Concat(op.dim(x, 0), op.ints([width, width]), axis=0), 0, factors.dtype)
    if _is_constant(forest):
        return nothing
    pairs = QuadratureInteractions(op, unfolded(forest), x.dtype, factors.dtype, width, background)
    return pairs.by_chunks(x, factors) if pairs.parts else nothing


def _is_constant(forest: Forest) -> bool:
    """Decide whether no tree compares, or no leaf has a weight."""
    return bool((forest.mode[forest.roots] == LEAF).all()) or not forest.has_weight.any()


def _affordable(trees: Unfolded, budget: TableBudget, itemsize: float) -> LeafGroups | None:
    """Cut the trees into groups for tables; None where the budget is too small for them."""
    # Each leaf has a row of at least its path's length in some table.
    if 4 * trees.node.size > budget.left or len(trees.levels) > _DEEPEST:
        return None
    groups = leaf_groups(trees)
    return groups if budget.take(table_size(groups) * itemsize) else None


def _widened(op: Builder, relevance: ir.Value, x: ir.Value, width: int) -> ir.Value:
    """Add zeros for the features that no tree compares, where the number of features is unknown."""
    if op.dims(x)[1] is not None:
        return relevance
    rest = op.Sub(op.dim(x, 1), op.ints([width]))
    return op.Pad(relevance, op.Concat(op.ints([0, 0, 0]), rest, axis=0))


def _width(op: Builder, x: ir.Value, forest: Forest) -> int:
    """Count the features; where that is unknown, those up to the last one that a tree compares."""
    return op.dims(x)[1] or int(forest.feature.max(initial=0)) + 1
