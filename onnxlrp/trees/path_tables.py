"""Tables of a tree ensemble in the graph, by node, which the file stores compactly and the session expands on loading.

Nodes are ordered level by level over all trees, siblings side by side. With T trees, the children of the k-th node that
compares are then at the places T + 2k and T + 2k + 1, so that the structure takes one bit a node. Comparisons store a
feature and a threshold, leaves their values, and the graph computes a node's expectation from its children's. A
comparison with several parents has one place for each of them: its first place has its children, and the others are
repeats, which are stored like leaves together with the number of the first place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.trees.compact_constants import INT32, bits, floats, positions, whole_numbers
from onnxlrp.trees.forest import LEAF, Array, Forest
from onnxlrp.trees.parts import split

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """The order of the nodes in the tables: level by level over all trees, siblings side by side."""

    nodes: Array
    """Node at each place."""
    is_repeat: Array
    """True where a node compares and has an earlier place, which has its children."""
    sizes: list[int]
    """Number of places of each level."""

    @classmethod
    def of(cls, trees: Forest) -> _Places:
        inner, seen = trees.mode != LEAF, np.zeros(trees.mode.size, bool)
        levels, repeats, frontier = [], [], trees.roots
        while frontier.size:
            first = np.zeros(frontier.size, bool)
            first[np.unique(frontier, return_index=True)[1]] = True
            repeats.append(inner[frontier] & (seen[frontier] | ~first))
            levels.append(frontier)
            seen[frontier] = True
            within = frontier[inner[frontier] & ~repeats[-1]]
            frontier = np.stack([trees.yes[within], trees.no[within]], axis=1).reshape(-1)
        return cls(np.concatenate(levels), np.concatenate(repeats), [nodes.size for nodes in levels])


class Tables:
    """The tables of a forest, emitted into a graph; `dtype` is the type of its contributions."""

    def __init__(self, op: Builder, trees: Forest, dtype: ir.DataType) -> None:
        self.op, self.trees, self.dtype = op, trees, dtype
        self.places = places = _Places.of(trees)
        self.inner = (trees.mode[places.nodes] != LEAF) & ~places.is_repeat
        self.counts = [int(part.sum()) for part in np.split(self.inner, np.cumsum(places.sizes)[:-1])][:-1]
        """Number of nodes that compare, for each level but the last."""
        self.compares = bits(op, self.inner)
        self.rank = self._rank(self.compares)

    @property
    def roots(self) -> ir.Value:
        """Place of the root of each tree, [1, trees]."""
        op, count = self.op, len(self.trees.roots)
        return op.Unsqueeze(op.Slice(self._own, op.ints([0]), op.ints([count])), op.ints([0]))

    @functools.cached_property
    def _own(self) -> ir.Value:
        """For each place the first place of its node, int32 [places]: the place itself unless it is a repeat."""
        op, places = self.op, self.places
        own = op.Range(*(op.constant(np.int32(n)) for n in (0, places.nodes.size, 1)))
        if not places.is_repeat.any():
            return own
        first = np.zeros(self.trees.mode.size, np.int64)
        first[places.nodes[self.inner]] = np.flatnonzero(self.inner)
        repeats = positions(op, places.is_repeat)
        return op.ScatterElements(own, repeats, whole_numbers(op, first[places.nodes[places.is_repeat]]), axis=0)

    def _rank(self, flags: ir.Value) -> ir.Value:
        """Number the nodes that have a flag, 0, 1, 2, …; the others get the number of some such node."""
        upto = self.op.CumSum(self.op.Cast(flags, to=INT32), self.op.ints_scalar(0))
        return self.op.Max(self.op.Sub(upto, self.op.constant(np.int32(1))), self.op.constant(np.int32(0)))

    @functools.cached_property
    def children(self) -> tuple[ir.Value, ir.Value]:
        """Places of each node's true and false branch; a leaf has itself for both."""
        op, one = self.op, self.op.constant(np.int32(1))
        yes = op.Add(op.Mul(self.rank, op.constant(np.int32(2))), op.constant(np.int32(self.trees.roots.size)))
        sides = (yes, op.Add(yes, one))
        if self.places.is_repeat.any():
            sides = tuple(op.Gather(self._own, side) for side in sides)
        return op.Where(self.compares, sides[0], self._own), op.Where(self.compares, sides[1], self._own)

    def of_comparisons(self, column: Array, dtype: ir.DataType = INT32) -> ir.Value:
        """Emit a column that is used only at nodes that compare; elsewhere it holds other numbers."""
        numbers = column[self.places.nodes[self.inner]]
        if dtype == ir.DataType.BOOL:
            stored = bits(self.op, numbers)
        else:
            stored = whole_numbers(self.op, numbers) if dtype == INT32 else floats(self.op, numbers, dtype)
        return self.op.Gather(stored, self.rank, axis=0)

    def of_leaves(self, column: Array, dtype: ir.DataType) -> ir.Value:
        """Emit a column [nodes], or several [nodes, columns], that are used only at nodes that do not compare."""
        stored = floats(self.op, column[self.places.nodes[~self.inner]], dtype)
        return self.op.Gather(stored, self._rank(self.op.Not(self.compares)), axis=0)

    def expected(self, values: Array) -> ir.Value:
        """Emit every node's expectation from the values of the leaves, [nodes] or [nodes, targets].

        The graph computes it from the deepest level up, in double precision: a leaf's own value, else the weighted mean
        of the children's. The expectation of a repeat is stored.
        """
        op, rest = self.op, values.shape[1:]
        if self.places.is_repeat.any():
            values = self.trees.expectation(values).astype(self.dtype.numpy())
        own = self.of_leaves(values, ir.DataType.DOUBLE)
        if self.trees.scale != 1:
            own = op.Mul(own, op.constant(np.float64(self.trees.scale)))
        owns, ranks, weights = self._split(own), self._split(self.rank), self._weights(len(rest))
        flags = self._split(op.Unsqueeze(self.compares, op.ints([1])) if rest else self.compares)
        first, means_by_level = sum(self.counts), [owns[-1]]
        for level in reversed(range(len(self.counts))):
            first -= self.counts[level]
            pairs = op.Reshape(means_by_level[-1], op.ints([self.counts[level], 2, *rest]))
            means = op.ReduceSum(op.Mul(pairs, weights[level]), op.ints([1]), keepdims=0)
            if self.counts[level] < self.places.sizes[level]:
                # A leaf before the level's first comparison has the place −1, which is not used.
                places = op.Sub(ranks[level], op.constant(np.int32(first)))
                means = op.Where(flags[level], op.Gather(means, places, axis=0), owns[level])
            means_by_level.append(means)
        return op.cast(op.Concat(*reversed(means_by_level), axis=0), self.dtype)

    def _split(self, column: ir.Value) -> Sequence[ir.Value]:
        return split(self.op, column, self.places.sizes, axis=0)

    def _weights(self, more: int) -> Sequence[ir.Value]:
        """Emit for each level the share of samples that each child takes, [comparisons, 2, *[1] * more]."""
        op, share = self.op, self.trees.share[self.places.nodes[self.inner]]
        if (share == 0.5).all():
            return [op.constant(np.float64(0.5))] * len(self.counts)
        yes = op.Cast(floats(op, share, self.dtype), to=ir.DataType.DOUBLE)
        axes = [op.Unsqueeze(part, op.ints(range(1, 2 + more))) for part in (yes, op.Sub(1.0, yes))]
        return split(op, op.Concat(*axes, axis=1), self.counts, axis=0)
