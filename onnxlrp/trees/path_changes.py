"""Relevance along the path through every tree: the change of the expectation at each comparison."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import whole_numbers
from onnxlrp.trees.comparisons import compare, whole_part
from onnxlrp.trees.forest import LEAF, MODES, Forest
from onnxlrp.trees.path_tables import Tables

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def has_several_targets(trees: Forest) -> bool:
    """Decide whether a tree may have weights for several targets, or must win against the others (MIN, MAX)."""
    return trees.aggregate in ("MIN", "MAX") or bool((targets_of_trees(trees).sum(1) > 1).any())


def targets_of_trees(trees: Forest) -> np.ndarray:
    """Tell for which targets each tree has weights, bool [trees, targets]."""
    owner = np.zeros(trees.mode.size, np.int64)
    owner[trees.roots] = np.arange(len(trees.roots))
    for nodes in trees.levels:
        inner = nodes[trees.mode[nodes] != LEAF]
        for children in (trees.yes[inner], trees.no[inner]):
            owner[children] = owner[inner]
    spoken = np.zeros((len(trees.roots), trees.values.shape[1]), np.int64)
    np.add.at(spoken, owner, trees.has_weight.astype(np.int64))
    return spoken > 0


class PathChanges:
    """A walk through all trees at once, level by level, over the nodes that samples reach, [samples, trees]."""

    def __init__(self, op: Builder, trees: Forest, rows: ir.Value, dtype: ir.DataType) -> None:
        self.op, self.trees, self.rows, self.dtype = op, trees, rows, dtype
        self.tables = Tables(op, trees, dtype)
        self.modes = np.unique(trees.mode[trees.mode != LEAF])

    @functools.cached_property
    def features(self) -> ir.Value:
        return self.tables.of_comparisons(self.trees.feature)

    @functools.cached_property
    def thresholds(self) -> ir.Value:
        assert self.rows.dtype is not None
        return self.tables.of_comparisons(self.trees.threshold, self.rows.dtype)

    def _path(self) -> Iterator[tuple[ir.Value | None, ir.Value]]:
        """Yield (None, roots), then after each comparison the feature that was compared and the nodes reached."""
        op = self.op
        size = op.Concat(op.dim(self.rows, 0), op.ints([self.trees.roots.size]), axis=0)
        nodes = op.Expand(self.tables.roots, size)
        yield None, nodes
        for _ in range(self.trees.depth):
            feature = op.Gather(self.features, nodes)
            true = self._compare(op.GatherElements(self.rows, feature, axis=1), nodes)
            yes, no = self.tables.children
            nodes = op.Where(true, op.Gather(yes, nodes), op.Gather(no, nodes))
            yield feature, nodes

    def _compare(self, value: ir.Value, nodes: ir.Value) -> ir.Value:
        """Decide whether a sample's feature passes the comparison of its node."""
        op, trees, tables = self.op, self.trees, self.tables
        threshold = op.Gather(self.thresholds, nodes)
        compared = value
        if trees.whole.any():
            whole = tables.of_comparisons(trees.whole, ir.DataType.BOOL)
            compared = op.Where(op.Gather(whole, nodes), whole_part(op, value), value)
        true: ir.Value | None = None
        for mode in self.modes:
            passes = compare(op, MODES[mode], compared, threshold)
            if len(self.modes) > 1:
                own = tables.of_comparisons(trees.mode == mode, ir.DataType.BOOL)
                passes = op.And(passes, op.Gather(own, nodes))
            true = passes if true is None else op.Or(true, passes)
        assert true is not None
        if trees.missing.any():
            missing = tables.of_comparisons(trees.missing, ir.DataType.BOOL)
            true = op.Or(true, op.And(op.Gather(missing, nodes), op.IsNaN(value)))
        return true

    def relevance(self, c: ir.Value, several: bool) -> tuple[ir.Value, ir.Value]:
        """Compute, from the factors of the sums [samples, targets], the relevance of the features, [samples, features],
        and the share of the base: the expectations at the roots."""
        op = self.op
        if several:
            expected, weigh = self._of_several(c)
        else:
            expected, weigh = self._of_one(c)
        path = self._path()
        _, nodes = next(path)
        before = op.Gather(expected, nodes)
        bias = weigh(before)
        total = op.full(op.shape(self.rows), 0, self.dtype)
        for feature, nodes in path:
            after = op.Gather(expected, nodes)
            change = weigh(op.Sub(after, before))
            total = op.ScatterElements(total, feature, change, axis=1, reduction="add")
            before = after
        return total, bias

    def _of_one(self, c: ir.Value):  # type: ignore[no-untyped-def]
        """Return the expectation of each node, [nodes], and a function that weights its changes by the factors; for
        trees of one target each."""
        op, trees = self.op, self.trees
        expected = self.tables.expected(trees.values.sum(1))
        if trees.values.shape[1] > 1:
            c = op.Gather(c, whole_numbers(op, targets_of_trees(trees).argmax(1)), axis=1)
        return expected, lambda changes: op.Mul(c, changes)

    def _of_several(self, c: ir.Value):  # type: ignore[no-untyped-def]
        """Return the expectations of each node, [nodes, targets], and a function that weights their changes by the
        factors; for trees of several targets, or where one tree wins."""
        op, trees = self.op, self.trees
        expected = self.tables.expected(trees.values)
        factors = op.Unsqueeze(c, op.ints([1]))
        if trees.aggregate in ("MIN", "MAX"):
            factors = op.Mul(factors, self._winners())
            return expected, lambda changes: op.ReduceSum(op.Mul(changes, factors), op.ints([2]), keepdims=0)
        column = op.Unsqueeze(c, op.ints([2]))
        return expected, lambda changes: op.Squeeze(op.MatMul(changes, column), op.ints([2]))

    def _winners(self) -> ir.Value:
        """Mark the winning trees by 1, [samples, trees, targets].

        The winner is the first tree whose leaf is the smallest or largest of all leaves with a weight for the target.
        """
        op, trees = self.op, self.trees
        sign = 1.0 if trees.aggregate == "MAX" else -1.0
        scores = np.where(trees.has_weight, sign * trees.values, -np.inf)
        *_, (_, leaves) = self._path()
        best = op.ArgMax(op.Gather(self.tables.of_leaves(scores, self.dtype), leaves), axis=1, keepdims=1)
        places = op.Unsqueeze(op.ints(range(len(trees.roots))), op.ints([0, 2]))
        return op.Cast(op.Equal(places, best), to=self.dtype)
