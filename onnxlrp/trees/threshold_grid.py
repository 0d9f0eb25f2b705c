"""Shares of a forest's branches where neither data nor the file tells how many samples took them.

All cells into which a forest's comparisons cut the axis of a feature count as equally likely. A comparison's share is
then the part of its node's cells that lie on its true side, and a node's cells are those that the comparisons above it
on the same feature leave over. This is far nearer to the shares of the training data than one half, because trainers
place their thresholds where the data lie.

A node with several parents has the cells that the comparisons on all of its paths leave over, and the true branch of a
chain `x = a`, else `x = b` the cells of its constants.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from onnxlrp.trees.grid_cells import Cells

if TYPE_CHECKING:
    from onnxlrp.trees.forest import Array, Forest

_BELOW, _ELSE, _EITHER = 1, 0, -1
"""Sides of a comparison: below its cut or at its point, the other side, and a node that both sides lead to."""

_NOT_EQUAL = 5
"""Number of BRANCH_NEQ, the only comparison with NaN that is true."""


def grid_shares(trees: Forest) -> Array:
    """Return the share of every node's cells on its true side, [nodes]; one half where a node does not compare.

    The share is 1 where no cell is left.
    """
    share = np.where(np.isnan(trees.threshold) & (trees.mode >= 0), _always(trees, slice(None)), 0.5)
    grid = _Grid(trees)
    if grid.nodes.size:
        share[grid.nodes] = grid.shares()
    return share


class _Grid:
    """The nodes that compare, by a number of their own: all ancestors of a node have smaller numbers."""

    def __init__(self, trees: Forest) -> None:
        levels = [_comparing(trees, nodes) for nodes in trees.levels]
        self.trees, self.nodes = trees, np.concatenate(levels)
        self.bounds = np.cumsum([0, *(nodes.size for nodes in levels)])
        """Numbers at which the levels begin: level k has those from `bounds[k]` up to `bounds[k + 1]`, [levels + 1]."""
        self.number = self._numbers()
        if self.nodes.size:
            self.cells, self.feature = Cells.of(trees, self.nodes), trees.feature[self.nodes].astype(np.int32)
            self.children = self._children()
            self.head = self._heads()
            self.parent, self.side = self._parents()
            self.above, self.above_side = self._nearest()

    def shares(self) -> Array:
        """Compute the share of each node's true branch, [numbers]."""
        part, total = self._split()
        below = np.where(total > 0, part / np.maximum(total, 1), np.where(self.cells.turned, 0.0, 1.0))
        return np.where(self.cells.turned, 1 - below, below)

    # ------------------------------------------------------------------------------------------------- the structure

    def _numbers(self) -> Array:
        """Number the nodes that compare, [nodes]; −1 for leaves. A node that sends all samples to one child has that
        child's number."""
        trees, number = self.trees, np.full(self.trees.mode.size, -1, np.int32)
        number[self.nodes] = np.arange(self.nodes.size, dtype=np.int32)
        for nodes in reversed(trees.levels):
            idle = nodes[(trees.mode[nodes] >= 0) & (number[nodes] < 0)]
            number[idle] = number[np.where(_always(trees, idle), trees.yes[idle], trees.no[idle])]
        return number

    def _children(self) -> tuple[Array, Array]:
        """Return the numbers of the children on the side below and on the other; −1 for leaves."""
        trees, turned = self.trees, self.cells.turned
        yes, no = self.number[trees.yes[self.nodes]], self.number[trees.no[self.nodes]]
        return np.where(turned, no, yes), np.where(turned, yes, no)

    def _heads(self) -> Array:
        """Return for each node the first node of its chain, which is of equalities that share one true branch,
        [numbers]."""
        point, feature = self.cells.point, self.feature
        below, after = self.children
        own = np.arange(self.nodes.size, dtype=np.int32)
        entries = np.concatenate([*self.children, self.number[self.trees.roots]])
        parents = np.bincount(entries + 1, minlength=own.size + 1)[1:]
        linked = own[point & (after >= 0) & (below >= 0)]
        following = after[linked]
        same = point[following] & (feature[following] == feature[linked]) & (below[following] == below[linked])
        head = own.copy()
        head[following[same & (parents[following] == 1)]] = linked[same & (parents[following] == 1)]
        while (head[head] != head).any():
            head = head[head]
        return head

    def _parents(self) -> tuple[Array, Array]:
        """Return the last node above each node that lies on all paths to it, and the side that these take there."""
        size, own, (below, other) = self.nodes.size, np.arange(self.nodes.size, dtype=np.int32), self.children
        roots = np.unique(self.number[self.trees.roots])
        # The true branch of a chain hangs on its first node, as if this compared with the set of all constants.
        child = np.concatenate([roots, np.where(self.head == own, below, -1), other])
        parents = np.concatenate([np.full(roots.size, -1, np.int32), own, own])
        sides = np.repeat(np.array([_EITHER, _BELOW, _ELSE], np.int8), [roots.size, size, size])
        kept = child >= 0
        return _on_all_paths(parents[kept], child[kept], sides[kept], size, self.bounds)

    def _nearest(self) -> tuple[Array, Array]:
        """Return the nearest node above each node that compares the same feature, −1 for none, and the side there."""
        above, above_side = np.full(self.nodes.size, -1, np.int32), np.full(self.nodes.size, _EITHER, np.int8)
        who, at, side = np.arange(self.nodes.size, dtype=np.int32), self.parent, self.side
        while who.size:
            met = (at >= 0) & (self.feature[at] == self.feature[who]) & (side != _EITHER)
            above[who[met]], above_side[who[met]] = at[met], side[met]
            on = (at >= 0) & ~met
            who, at = who[on], at[on]
            at, side = self.parent[at], self.side[at]
        return above, above_side

    # --------------------------------------------------------------------------------------------------- the counting

    def _split(self) -> tuple[Array, Array]:
        """Count the cells of every node, and those of them below its cut or at its point."""
        cells = self.cells
        low, high = cells.start.copy(), cells.stop.copy()
        total, part = cells.upto[high] - cells.upto[low], np.zeros(low.size, np.int32)
        points = np.flatnonzero(cells.point)
        part[points] = self._contain(points, cells.place[points])
        in_set = np.bincount(self.head[points], part[points], low.size).astype(np.int32)
        mixed = np.zeros(low.size, bool)
        for begin, end in zip(self.bounds[:-1], self.bounds[1:], strict=True):
            here = np.arange(begin, end)
            node = here[self.above[here] >= 0]
            upper, below = self.above[node], self.above_side[node] == _BELOW
            cut, place = ~cells.point[upper], cells.place[upper]
            mixed[node] = mixed[upper] | ~cut
            high[node] = np.where(below & cut, np.minimum(high[upper], place), high[upper])
            low[node] = np.where(~below & cut, np.maximum(low[upper], place), low[upper])
            taken = np.where(cut, part[upper], in_set[upper])
            total[node] = np.where(below, taken, total[upper] - part[upper])
            cutting = here[~cells.point[here]]
            part[cutting] = self._below(cutting, low, high)
            among = cutting[mixed[cutting]]
            part[among] = self._below_among_points(among, low, high, part)
        return part, total

    def _below(self, nodes: Array, low: Array, high: Array) -> Array:
        """Count the cells of a range that lie below the cuts of some nodes."""
        cells, least = self.cells, low[nodes]
        middle = np.clip(cells.place[nodes], least, np.maximum(high[nodes], least))
        return cells.upto[middle] - cells.upto[least]

    def _below_among_points(self, nodes: Array, low: Array, high: Array, part: Array) -> Array:
        """Count the cells below the cuts of nodes that stand under equalities of the same feature."""
        count, cells, chosen = self._below(nodes, low, high), self.cells, np.full(nodes.size, -1)
        for who, at, side in self._upward(nodes):
            point = cells.point[at]
            chosen[who[point & (side == _BELOW)]] = at[point & (side == _BELOW)]
            left, place = point & (side == _ELSE), cells.place[at]
            inside = (low[nodes[who]] <= place) & (place < np.minimum(high[nodes[who]], cells.place[nodes[who]]))
            count[who[left & inside]] -= part[at[left & inside]]
        within = np.flatnonzero(chosen >= 0)
        if within.size:
            who, places = self._members(chosen[within])
            owner = nodes[within[who]]
            counted = self._contain(owner, places) & (places < cells.place[owner])
            count[within] = np.bincount(who, counted, within.size)
        return count

    @functools.cached_property
    def _sets(self) -> Array:
        """The constants of all chains as sorted numbers: the number of the chain's first node times `width`, plus the
        constant's place."""
        points = np.flatnonzero(self.cells.point)
        return np.unique(self.head[points].astype(np.int64) * self._width + self.cells.place[points])

    @property
    def _width(self) -> int:
        return self.cells.upto.size

    def _members(self, heads: Array) -> tuple[Array, Array]:
        """List the constants of some chains: the index of the chain, and the constant's place."""
        first, past = (
            np.searchsorted(self._sets, edge * self._width) for edge in (heads.astype(np.int64), heads + np.int64(1))
        )
        who = np.repeat(np.arange(heads.size), past - first)
        at = np.arange(who.size) - np.repeat(np.cumsum(past - first) - (past - first), past - first)
        return who, self._sets[first[who] + at] % self._width

    def _upward(self, nodes: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Yield, for all nodes at once, the nodes above that compare the same feature: (index, node above, side)."""
        who, at, side = np.arange(nodes.size), self.above[nodes], self.above_side[nodes]
        while (on := at >= 0).any():
            who, at, side = who[on], at[on], side[on]
            yield who, at, side
            at, side = self.above[at], self.above_side[at]

    def _contain(self, nodes: Array, places: Array) -> Array:
        """Decide for pairs of a node and a place of its feature whether the cell at this place is left to the node."""
        cells, inside = self.cells, np.ones(nodes.size, bool)
        for who, at, side in self._upward(nodes):
            place, wanted = places[who], side == _BELOW
            equal = np.where(wanted, self._in_set(at, place), place == cells.place[at])
            passes = np.where(cells.point[at], equal, place < cells.place[at])
            inside[who] &= passes == wanted
        return inside

    def _in_set(self, heads: Array, places: Array) -> Array:
        keys = heads.astype(np.int64) * self._width + places
        at = np.minimum(np.searchsorted(self._sets, keys), self._sets.size - 1)
        return self._sets[at] == keys if self._sets.size else np.zeros(keys.size, bool)


def _comparing(trees: Forest, nodes: Array) -> Array:
    """Return those of some nodes that distinguish samples."""
    inner = nodes[trees.mode[nodes] >= 0]
    return inner[(trees.yes[inner] != trees.no[inner]) & ~np.isnan(trees.threshold[inner])]


def _always(trees: Forest, nodes: Array | slice) -> Array:
    """Decide whether nodes that do not distinguish samples send all of them to the true branch."""
    return trees.mode[nodes] == _NOT_EQUAL


def _on_all_paths(parent: Array, child: Array, side: Array, size: int, bounds: Array) -> tuple[Array, Array]:
    """Return the immediate dominator of each node and the side of it, from edges between numbered nodes."""
    order = np.argsort(child, kind="stable")
    parent, child, side = parent[order], child[order], side[order]
    again = np.diff(child, prepend=-1) == 0
    up, up_side = np.full(size, -1, np.int32), np.full(size, _EITHER, np.int8)
    up[child[~again]], up_side[child[~again]] = parent[~again], side[~again]
    rest = np.flatnonzero(again)
    rank = rest - np.searchsorted(child, child[rest])
    level = np.searchsorted(bounds, child[rest], side="right")
    for key in np.unique(np.stack([level, rank]), axis=1).T if rest.size else ():
        edges = rest[(level == key[0]) & (rank == key[1])]
        nodes = child[edges]
        met = _meet((up[nodes], up_side[nodes]), (parent[edges], side[edges]), (up, up_side))
        up[nodes], up_side[nodes] = met
    return up, up_side


def _meet(one: tuple[Array, Array], other: tuple[Array, Array], up: tuple[Array, Array]) -> tuple[Array, Array]:
    """Follow two paths upward to the first node on both; its side is `_EITHER` if the paths leave it by different
    sides."""
    (a, a_side), (b, b_side) = one, other
    while (a != b).any():
        lower, higher = a > b, b > a
        a, a_side = np.where(lower, up[0][a], a), np.where(lower, up[1][a], a_side)
        b, b_side = np.where(higher, up[0][b], b), np.where(higher, up[1][b], b_side)
    return a, np.where(a_side == b_side, a_side, _EITHER)
