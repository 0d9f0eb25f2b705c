"""Contributions of leaves to the features on their paths, for every pattern of outcomes, computed at conversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from onnxlrp.trees.forest import Array
from onnxlrp.trees.leaf_groups import LeafGroups
from onnxlrp.trees.rows_in_trees import Baselines, comparison_outcomes
from onnxlrp.trees.unfolded import ROOT

_CHUNK = 2**21
"""Elements of the arrays that are computed at once: leaves × patterns × slots."""
_ROWS = 16
"""Background rows that are computed at once."""
Game = Callable[[Array, Array], Array]
"""Function of leaves, given by their places among the groups' leaves, and of the joint outcomes of their features, bool
[leaves, patterns, slots], True in slots for which a leaf has no feature. It computes what the features contribute, in
the same shape, if the leaves have the value 1."""


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


def interventional_game(groups: LeafGroups, background: Baselines) -> Game:
    """The mean over background rows of the game in which a feature that is not known has the row's value.

    A sample or a row meets a feature of a leaf if it passes all comparisons of this feature on the way to the leaf. Of
    the features of a leaf, let the sample alone meet u, and the row alone w. If each feature is met by one of them at
    least, the sample's u get `(u−1)! w! / (u+w)!` each, and the row's w lose `u! (w−1)! / (u+w)!` each; else the leaf
    is never reached.
    """
    passed, edges = comparison_outcomes(groups.trees, background.rows), groups.paths[0]
    gain = _shares_of_orders(groups.slots[1].shape[1])

    def contributions(leaves: Array, met: Array) -> Array:
        missed, total = (~met).astype(np.float32), np.zeros(met.shape)
        w = missed.sum(2).astype(np.int64)[:, :, None]
        for start in range(0, len(background.rows), _ROWS):
            some, weights = passed[:, start : start + _ROWS], background.weights[start : start + _ROWS]
            rows = _met(groups, leaves, met.shape[2], some.shape[1], lambda own, step: some[edges[own, step] // 2])
            rows_missed = (~rows).astype(np.float32)
            reached = missed @ rows_missed.swapaxes(1, 2) == 0
            u = rows_missed.sum(2).astype(np.int64)[:, None, :]
            gains = np.where(reached, gain[u, w] * weights, 0) @ rows_missed.astype(np.float64)
            losses = np.where(reached, gain[w, u], 0) @ weights[:, None]
            total += np.where(met, gains, -losses)
        return total

    return contributions


def _shares_of_orders(most: int) -> Array:
    """Compute `(u−1)! w! / (u+w)!`, [most + 1, most + 1], for u along axis 0 and w along axis 1; 0 for u = 0."""
    u, w = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    factorial = np.cumprod([1.0, *range(1, 2 * most + 1)])
    return np.where(u > 0, factorial[np.maximum(u - 1, 0)] * factorial[w] / factorial[u + w], 0)


def met_by_patterns(groups: LeafGroups, leaves: Array, slots: int) -> Array:
    """Decide for each pattern of the leaves' groups whether it meets all comparisons of a feature on the way to a leaf,
    bool [leaves, patterns, slots]. The groups' patterns must have equally many bits."""
    _, bit = groups.paths
    size = int(groups.bits[groups.group[leaves[0]]])
    pattern = np.arange(2**size)

    def outcome(own: Array, step: int) -> Array:
        return (pattern[None, :] >> (size - 1 - bit[own, step])[:, None]) & 1 == 1

    return _met(groups, leaves, slots, pattern.size, outcome)


def _met(groups: LeafGroups, leaves: Array, slots: int, count: int, outcome: Callable[[Array, int], Array]) -> Array:
    """Decide whether all comparisons of a feature on the way to a leaf are met, bool [leaves, count, slots].

    `outcome(leaves, step)` gives the outcomes of the comparisons that lie `step` edges above some leaves, bool [leaves,
    count].
    """
    edges, slot = groups.paths[0], groups.slots[0]
    met = np.ones((leaves.size, count, slots), bool)
    for step in range(edges.shape[1]):
        at = np.flatnonzero(edges[leaves, step] != ROOT)
        own = leaves[at]
        met[at, :, slot[own, step]] &= outcome(own, step) != edges[own, step][:, None] % 2
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
