"""The comparisons of a tree ensemble, level by level, with every node written out once for each of its parents.

Comparison k leads to its true branch by edge 2k and to its false branch by edge 2k + 1. A chain of equalities with one
true branch (`x = a`, else `x = b`) counts as a single comparison of its feature.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

import numpy as np

from onnxlrp.memory import check_elements
from onnxlrp.trees.forest import LEAF, Array, Forest

ROOT = -1
"""Stands for the edge above a comparison at the root of its tree, and where no edge above has the feature."""


@dataclasses.dataclass(frozen=True, eq=False)
class Level:
    """The comparisons of one distance from the roots, and the children of each side, in the order of the comparisons.

    The comparisons of the next level are the children that compare: first those on true branches, then those on false
    ones.
    """

    start: int
    """Number of the level's first comparison."""
    size: int
    children: tuple[Array, Array]
    """Nodes of the forest on the true and on the false branches, [size] each."""
    compares: tuple[Array, Array]
    """True for children that compare, [size] each."""

    @property
    def span(self) -> slice:
        return slice(self.start, self.start + self.size)


@dataclasses.dataclass(frozen=True, eq=False)
class Unfolded:
    """Comparisons of trees in which every node has one parent; arrays are [comparisons]."""

    forest: Forest
    levels: list[Level]
    node: Array
    """Node of the forest that compares, the first one of a chain."""
    tree: Array
    """Index of the tree."""
    parent: Array
    """Edge that leads to the comparison, or ROOT."""

    @functools.cached_property
    def feature(self) -> Array:
        return self.forest.feature[self.node]

    @functools.cached_property
    def depth(self) -> Array:
        """Number of comparisons above."""
        return np.repeat(np.arange(len(self.levels)), [level.size for level in self.levels])

    @functools.cached_property
    def below(self) -> Array:
        """Comparisons on the true and the false branch, or LEAF, [comparisons, 2]."""
        found = np.full((self.node.size, 2), LEAF, np.int64)
        inner = np.flatnonzero(self.parent != ROOT)
        found[self.parent[inner] // 2, self.parent[inner] % 2] = inner
        return found

    @functools.cached_property
    def leaf(self) -> Array:
        """Leaves of the forest on the true and the false branch, LEAF where a comparison is, [comparisons, 2]."""
        sides = [np.concatenate([level.children[side] for level in self.levels]) for side in (0, 1)]
        return np.where(self.below == LEAF, np.stack(sides, axis=1), LEAF)

    @functools.cached_property
    def share(self) -> Array:
        """Share of the samples on the true branch, float64."""
        rest = np.ones(self.node.size)
        for places, nodes in self.members():
            rest[places] *= 1 - self.forest.share[nodes]
        return 1 - rest

    @functools.cached_property
    def above(self) -> Array:
        """Nearest edge above each comparison that comes from a comparison of the same feature, or ROOT."""
        found = np.full(self.node.size, ROOT, np.int64)
        searching, edge = np.arange(self.node.size), self.parent.astype(np.int64)
        while (going := edge != ROOT).any():
            searching, edge = searching[going], edge[going]
            same = self.feature[edge // 2] == self.feature[searching]
            found[searching[same]] = edge[same]
            searching, edge = searching[~same], self.parent[edge[~same] // 2]
        return found

    @functools.cached_property
    def repeats(self) -> Array:
        """Number of comparisons above with the same feature."""
        count, edge = np.zeros(self.node.size, np.int64), self.above
        while (going := edge != ROOT).any():
            count += going
            edge = np.where(going, self.above[edge // 2], ROOT)
        return count

    @functools.cached_property
    def distinct(self) -> int:
        """Largest number of distinct features on a path."""
        new = (self.above == ROOT).astype(np.int64)
        for level in self.levels[1:]:
            new[level.span] += new[self.parent[level.span] // 2]
        return int(new.max(initial=0))

    def members(self) -> Iterator[tuple[Array, Array]]:
        """Yield the first comparisons of all chains with their nodes in the forest, then the second ones, and so on."""
        after, places, nodes = self.forest.chained, np.arange(self.node.size), self.node
        while places.size:
            yield places, nodes
            more = after[nodes] != LEAF
            places, nodes = places[more], after[nodes[more]]


def unfolded(forest: Forest, trees: slice = slice(None)) -> Unfolded:
    """Unfold trees of a forest.

    Raises InvalidModelError where a tree leads back to one of its own nodes, or where there are too many comparisons to
    hold in memory.
    """
    roots = forest.roots[trees]
    inner = forest.mode != LEAF
    number = np.flatnonzero(inner[roots])
    nodes, parent, tree = roots[number], np.full(number.size, ROOT), number + (trees.start or 0)
    columns: list[tuple[Array, Array, Array]] = []
    levels: list[Level] = []
    start = 0
    for _ in range(forest.depth):
        if not nodes.size:
            break
        check_elements([start + nodes.size, 16], "a tree ensemble whose nodes have several parents")
        columns.append((nodes, tree, parent))
        children = (forest.yes[nodes], forest.no[forest.chain_ends[nodes]])
        compares = (inner[children[0]], inner[children[1]])
        levels.append(Level(start, nodes.size, children, compares))
        edges = [2 * (start + np.flatnonzero(mask)) + side for side, mask in enumerate(compares)]
        start += nodes.size
        nodes = np.concatenate([child[mask] for child, mask in zip(children, compares, strict=True)])
        tree, parent = np.concatenate([tree[mask] for mask in compares]), np.concatenate(edges)
    empty = np.zeros(0, np.int64)
    node, tree, parent = (np.concatenate(parts) for parts in zip(*columns, strict=True)) if columns else (empty,) * 3
    return Unfolded(forest, levels, node, tree, parent)
