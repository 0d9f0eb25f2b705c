"""Contributions of leaves to the features on their paths, for every pattern of outcomes, computed at conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from onnxlrp.trees.forest import Array
from onnxlrp.trees.leaf_groups import LeafGroups
from onnxlrp.trees.unfolded import ROOT

_CHUNK = 2**21
"""Elements of the arrays that are computed at once: leaves × patterns × slots."""
Game = Callable[[Array, Array], Array]
"""Computes contributions, [leaves, patterns, slots], of leaves of value 1, given by their places among the groups'
leaves, and their features' joint outcomes, bool of the same shape; slots that a leaf has no feature for are True."""


def shapley_game(groups: LeafGroups) -> Game:
    """The path-dependent game: a feature that is not known passes with the product of its shares on the path."""
    slot, feature = groups.slots
    edges, _ = groups.paths
    shares = np.ones((groups.leaves.size, feature.shape[1]))
    yes = groups.trees.share[edges // 2]
    for step in range(edges.shape[1]):
        own = np.flatnonzero(edges[:, step] != ROOT)
        shares[own, slot[own, step]] *= np.where(edges[own, step] % 2, 1 - yes[own, step], yes[own, step])
    points, weights = np.polynomial.legendre.leggauss(max(1, (feature.shape[1] + 1) // 2))

    def contributions(leaves: Array, met: Array) -> Array:
        z = shares[leaves, None, : met.shape[2]]
        total = np.zeros(met.shape)
        for t, weight in zip((points + 1) / 2, weights / 2, strict=True):
            passes = z + t * (1 - z)
            reached = np.where(met, passes, z * (1 - t)).prod(2, keepdims=True)
            total += weight * reached * np.where(met, (1 - z) / passes, -1 / (1 - t))
        return total

    return contributions


def met_by_patterns(groups: LeafGroups, leaves: Array, slots: int) -> Array:
    """Decide for each pattern of the leaves' groups whether it meets all comparisons of a feature on the way to a leaf,
    bool [leaves, patterns, slots]. The groups' patterns must have equally many bits."""
    (edges, bit), (slot, _) = groups.paths, groups.slots
    size = int(groups.bits[groups.group[leaves[0]]])
    pattern = np.arange(2**size)
    met = np.ones((leaves.size, pattern.size, slots), bool)
    for step in range(edges.shape[1]):
        own = np.flatnonzero(edges[leaves, step] != ROOT)
        edge, shift = edges[leaves[own], step], size - 1 - bit[leaves[own], step]
        passes = ((pattern[None, :] >> shift[:, None]) & 1) != edge[:, None] % 2
        met[own, :, slot[leaves[own], step]] &= passes
    return met


def contributions_of_groups(
    groups: LeafGroups, game: Game, values: Array, chosen: Array
) -> Iterator[tuple[Array, Array]]:
    """Yield chosen groups and their contributions, [groups, patterns, slots], in batches of equally many bits.

    `values` are those of the leaves, in the order of the groups' leaves.
    """
    slots = int((groups.slots[1][chosen] >= 0).sum(1).max(initial=0))
    first = np.searchsorted(groups.group, np.arange(groups.edge.size + 1))
    for size in np.unique(groups.bits[chosen]):
        own = chosen[groups.bits[chosen] == size]
        batch = max(1, _CHUNK // (2 ** int(size) * slots * 4))
        for start in range(0, own.size, batch):
            part = own[start : start + batch]
            counts = first[part + 1] - first[part]
            begins = np.cumsum(counts) - counts
            leaves = np.repeat(first[part] - begins, counts) + np.arange(counts.sum())
            each = game(leaves, met_by_patterns(groups, leaves, slots)) * values[leaves, None, None]
            yield part, np.add.reduceat(each, begins, axis=0)
