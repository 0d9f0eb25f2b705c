"""Tables of a tree ensemble in the graph, by node: what the file keeps of them is small, the session spreads it out as
it loads.

Nodes stand level by level over all trees, siblings side by side. With T trees the children of the k-th node that
compares are then at the places T + 2k and T + 2k + 1: of the structure a bit a node is kept. Comparisons keep a feature
and a threshold, leaves their values, and a node's expectation is made of its children's in the graph. A node that
several lead to stands again for each, as a leaf does, beside the number of its first place.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.operators.tree_nodes import LEAF, Array, Forest

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

INT32 = ir.DataType.INT32


def whole_numbers(op: Builder, column: Array) -> ir.Value:
    """Whole numbers as int32, kept in the smallest type that holds them: the session widens them as it loads."""
    small = np.result_type(np.min_scalar_type(column.min(initial=0)), np.min_scalar_type(column.max(initial=0)))
    if small.itemsize > 2:
        return op.constant(column.astype(np.int32))
    return op.Cast(op.constant(column.astype(small)), to=INT32)


def floats(op: Builder, column: Array, dtype: ir.DataType) -> ir.Value:
    """Floats [n] or rows of them [n, columns], in single precision where that loses nothing; where few differ, as
    places in a list of those: the smallest of these ways."""
    column = column.astype(dtype.numpy())
    narrow = column.astype(np.float32)
    kept = narrow if np.array_equal(narrow, column, equal_nan=True) else column
    ways = [
        (kept.nbytes, kept, None),
        *(_listed(*found) for found in (_different(kept), _different_rows(kept)) if found),
    ]
    _, table, places = min(ways, key=lambda way: way[0])
    made = op.cast(op.constant(table), dtype)
    return made if places is None else op.Gather(made, whole_numbers(op, places), axis=0)


def _listed(table: Array, places: Array) -> tuple[int, Array, Array]:
    size = 1 if len(table) <= 2**8 else 2 if len(table) <= 2**16 else 4
    return table.nbytes + places.size * size, table, places


def _different(column: Array) -> tuple[Array, Array]:
    table, places = np.unique(column, return_inverse=True)
    return table, places.reshape(column.shape)


def _different_rows(rows: Array) -> tuple[Array, Array] | None:
    """None where there are no rows, or nothing is to be won."""
    if rows.ndim < 2 or not rows.size or rows.shape[1] < 2:
        return None
    whole = np.ascontiguousarray(rows).view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1)
    _, first, places = np.unique(whole, return_index=True, return_inverse=True)
    return rows[first], places.reshape(-1)


def bits(op: Builder, flags: Array) -> ir.Value:
    """Booleans, eight a byte."""
    packed = op.Unsqueeze(op.Cast(op.constant(np.packbits(flags)), to=INT32), op.ints([1]))
    places = op.constant(2 ** np.arange(7, -1, -1, dtype=np.int32))
    each = op.Mod(op.Div(packed, places), op.constant(np.int32(2)))
    every = op.Slice(op.Reshape(each, op.ints([-1])), op.ints([0]), op.ints([flags.size]))
    return op.Cast(every, to=ir.DataType.BOOL)


@dataclasses.dataclass(frozen=True, eq=False)
class _Places:
    """The order in which nodes stand: level by level over all trees, siblings side by side."""

    nodes: Array
    """The node at each place."""
    is_repeat: Array
    """Whether it compares and stands at an earlier place too, whose children are its own."""
    sizes: list[int]
    """How many places each level has."""

    @classmethod
    def of(cls, trees: Forest) -> _Places:
        inner, seen = trees.mode != LEAF, np.zeros(trees.mode.size, bool)
        levels, again, frontier = [], [], trees.roots
        while frontier.size:
            first = np.zeros(frontier.size, bool)
            first[np.unique(frontier, return_index=True)[1]] = True
            again.append(inner[frontier] & (seen[frontier] | ~first))
            levels.append(frontier)
            seen[frontier] = True
            within = frontier[inner[frontier] & ~again[-1]]
            frontier = np.stack([trees.yes[within], trees.no[within]], axis=1).reshape(-1)
        return cls(np.concatenate(levels), np.concatenate(again), [nodes.size for nodes in levels])


class Tables:
    """The tables of a forest whose contributions are computed in a type."""

    def __init__(self, op: Builder, trees: Forest, dtype: ir.DataType) -> None:
        self.op, self.trees, self.dtype = op, trees, dtype
        self.places = places = _Places.of(trees)
        self.inner = (trees.mode[places.nodes] != LEAF) & ~places.is_repeat
        self.counts = [int(part.sum()) for part in np.split(self.inner, np.cumsum(places.sizes)[:-1])][:-1]
        """How many nodes of each level but the last compare."""
        self.compares = bits(op, self.inner)
        self.rank = self._rank(self.compares)

    @property
    def roots(self) -> ir.Value:
        """The root of each tree, [1, trees]."""
        op, count = self.op, len(self.trees.roots)
        return op.Unsqueeze(op.Slice(self._own, op.ints([0]), op.ints([count])), op.ints([0]))

    @functools.cached_property
    def _own(self) -> ir.Value:
        """The place of each node: where one stands again, its first."""
        op, places = self.op, self.places
        own = op.Range(*(op.constant(np.int32(n)) for n in (0, places.nodes.size, 1)))
        if not places.is_repeat.any():
            return own
        first = np.zeros(self.trees.mode.size, np.int64)
        first[places.nodes[self.inner]] = np.flatnonzero(self.inner)
        again = op.Reshape(op.NonZero(bits(op, places.is_repeat)), op.ints([-1]))
        return op.ScatterElements(own, again, whole_numbers(op, first[places.nodes[places.is_repeat]]), axis=0)

    def _rank(self, flags: ir.Value) -> ir.Value:
        """Of nodes that have a flag, how many do before them; of the others some such number."""
        upto = self.op.CumSum(self.op.Cast(flags, to=INT32), self.op.ints_scalar(0))
        return self.op.Max(self.op.Sub(upto, self.op.constant(np.int32(1))), self.op.constant(np.int32(0)))

    @functools.cached_property
    def children(self) -> tuple[ir.Value, ir.Value]:
        """Where a true comparison leads, and where a false one; of a leaf, itself."""
        op, one = self.op, self.op.constant(np.int32(1))
        yes = op.Add(op.Mul(self.rank, op.constant(np.int32(2))), op.constant(np.int32(self.trees.roots.size)))
        sides = (yes, op.Add(yes, one))
        if self.places.is_repeat.any():
            sides = tuple(op.Gather(self._own, side) for side in sides)
        return op.Where(self.compares, sides[0], self._own), op.Where(self.compares, sides[1], self._own)

    def of_comparisons(self, column: Array, dtype: ir.DataType = INT32) -> ir.Value:
        """A column that only matters where nodes compare."""
        kept = column[self.places.nodes[self.inner]]
        if dtype == ir.DataType.BOOL:
            made = bits(self.op, kept)
        else:
            made = whole_numbers(self.op, kept) if dtype == INT32 else floats(self.op, kept, dtype)
        return self.op.Gather(made, self.rank, axis=0)

    def of_leaves(self, column: Array, dtype: ir.DataType) -> ir.Value:
        """A column [nodes] or several [nodes, columns] that only matter where nodes do not compare."""
        kept = floats(self.op, column[self.places.nodes[~self.inner]], dtype)
        return self.op.Gather(kept, self._rank(self.op.Not(self.compares)), axis=0)

    def expected(self, values: Array) -> ir.Value:
        """Every node's expectation from what the leaves [nodes] or [nodes, targets] say.

        From the deepest level up, in double precision: a leaf's own value, else the mean of the children's. Where a
        node stands again its expectation is kept.
        """
        op, rest = self.op, values.shape[1:]
        if self.places.is_repeat.any():
            values = self.trees.expectation(values).astype(self.dtype.numpy())
        own = self.of_leaves(values, ir.DataType.DOUBLE)
        if self.trees.scale != 1:
            own = op.Mul(own, op.constant(np.float64(self.trees.scale)))
        owns, ranks, weights = self._split(own), self._split(self.rank), self._weights(len(rest))
        flags = self._split(op.Unsqueeze(self.compares, op.ints([1])) if rest else self.compares)
        first, found = sum(self.counts), [owns[-1]]
        for level in reversed(range(len(self.counts))):
            first -= self.counts[level]
            pairs = op.Reshape(found[-1], op.ints([self.counts[level], 2, *rest]))
            means = op.ReduceSum(op.Mul(pairs, weights[level]), op.ints([1]), keepdims=0)
            if self.counts[level] < self.places.sizes[level]:
                # In front of the first that compares a leaf's place is −1, and not used.
                places = op.Sub(ranks[level], op.constant(np.int32(first)))
                means = op.Where(flags[level], op.Gather(means, places, axis=0), owns[level])
            found.append(means)
        return op.cast(op.Concat(*reversed(found), axis=0), self.dtype)

    def _split(self, column: ir.Value) -> Sequence[ir.Value]:
        return _split(self.op, column, self.places.sizes)

    def _weights(self, more: int) -> Sequence[ir.Value]:
        """Of each level [comparisons, 2]: how much of the samples each child takes; behind it as many axes of 1."""
        op, share = self.op, self.trees.share[self.places.nodes[self.inner]]
        if (share == 0.5).all():
            return [op.constant(np.float64(0.5))] * len(self.counts)
        yes = op.Cast(floats(op, share, self.dtype), to=ir.DataType.DOUBLE)
        axes = [op.Unsqueeze(part, op.ints(range(1, 2 + more))) for part in (yes, op.Sub(1.0, yes))]
        return _split(op, op.Concat(*axes, axis=1), self.counts)


def _split(op: Builder, column: ir.Value, sizes: Sequence[int]) -> Sequence[ir.Value]:
    """The parts of a column, of these sizes."""
    if len(sizes) == 1:
        return [column]
    return op.Split(column, op.ints(sizes), axis=0, _outputs=len(sizes))
