"""Groups of leaves whose contribution to each feature is looked up in one table, by the outcomes of few comparisons.

A group is a subtree of at most three comparisons, as large as possible. The outcomes of the comparisons above it and
inside it decide what all its leaves contribute: its *pattern* holds one bit for each of them, from the root down, the
comparisons inside last.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from onnxlrp.trees.forest import LEAF, Array
from onnxlrp.trees.unfolded import ROOT, Unfolded

_INSIDE = 3
"""Most comparisons inside a group."""


@dataclasses.dataclass(frozen=True, eq=False)
class LeafGroups:
    """The groups of an unfolded ensemble, and its leaves sorted by group; a leaf is named by the edge to it."""

    trees: Unfolded
    upper: Array
    """True for comparisons that are above groups and in none, [comparisons]."""
    edge: Array
    """Edge to each group's root, ROOT for a whole tree, [groups]."""
    inside: Array
    """Comparisons inside each group, −1 where there are fewer, [groups, 3]."""
    leaves: Array
    """Edges to the leaves, [leaves]."""
    group: Array
    """Group of each leaf, in ascending order, [leaves]."""

    @functools.cached_property
    def above(self) -> Array:
        """Number of comparisons above each group."""
        return np.where(self.edge == ROOT, 0, self.trees.depth[self.edge // 2] + 1)

    @functools.cached_property
    def bits(self) -> Array:
        """Number of bits of each group's patterns."""
        return self.above + (self.inside >= 0).sum(1)

    @functools.cached_property
    def paths(self) -> tuple[Array, Array]:
        """The edges from each leaf up to its root, [leaves, depth], −1 past the root; and the bit of each edge's
        comparison in its group's pattern, counted from the first bit."""
        depth = len(self.trees.levels)
        edges, edge = np.full((self.leaves.size, depth), ROOT), self.leaves
        for step in range(depth):
            edges[:, step] = edge
            edge = np.where(edge == ROOT, ROOT, self.trees.parent[edge // 2])
        comparison, above = edges // 2, self.above[self.group, None]
        bit = self.trees.depth[comparison]
        for place in range(_INSIDE):
            here = self.inside[self.group, place][:, None]
            bit = np.where((comparison == here) & (here >= 0), above + place, bit)
        return edges, bit

    @functools.cached_property
    def slots(self) -> tuple[Array, Array]:
        """Number the distinct features of each group: these numbers are its slots. Returns the slot of each edge on the
        leaves' paths, [leaves, depth], and the feature of each slot, [groups, slots], −1 where a group has fewer."""
        edges, _ = self.paths
        features = int(self.trees.feature.max(initial=0)) + 1
        key = self.group[:, None] * features + self.trees.feature[edges // 2]
        distinct, place = np.unique(key[edges != ROOT], return_inverse=True)
        owner = distinct // features
        number = np.arange(distinct.size) - np.searchsorted(owner, owner)
        slot = np.zeros(edges.shape, np.int64)
        slot[edges != ROOT] = number[place.reshape(-1)]
        feature = np.full((self.edge.size, int(number.max(initial=0)) + 1), -1)
        feature[owner, number] = distinct % features
        return slot, feature


def leaf_groups(trees: Unfolded) -> LeafGroups:
    """Cut the trees into groups."""
    count = np.ones(trees.node.size, np.int64)
    for level in reversed(trees.levels):
        below = trees.below[level.span]
        count[level.span] += np.where(below == LEAF, 0, count[below]).sum(1)
    upper = count > _INSIDE
    parent_is_upper = (trees.parent == ROOT) | upper[trees.parent // 2]
    tops = np.flatnonzero(~upper & parent_is_upper)
    lone_k, lone_side = np.nonzero((trees.below == LEAF) & upper[:, None])
    edge = np.concatenate([trees.parent[tops], 2 * lone_k + lone_side])
    group = np.full(trees.node.size, -1)
    group[tops] = np.arange(tops.size)
    for level in trees.levels[1:]:
        inherited = group[trees.parent[level.span] // 2]
        group[level.span] = np.where(inherited >= 0, inherited, group[level.span])
    inside = np.full((edge.size, _INSIDE), -1)
    members = np.flatnonzero(group >= 0)
    members = members[np.argsort(group[members], kind="stable")]
    owner = group[members]
    inside[owner, np.arange(members.size) - np.searchsorted(owner, owner)] = members
    k, side = np.nonzero(trees.below == LEAF)
    own = group[k]
    own[own < 0] = tops.size + np.arange(lone_k.size)
    order = np.argsort(own, kind="stable")
    return LeafGroups(trees, upper, edge, inside, (2 * k + side)[order], own[order])
