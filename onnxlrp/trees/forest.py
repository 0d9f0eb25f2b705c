"""The table of all nodes of a tree ensemble, and the expectation of every node."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from onnxlrp.errors import InvalidModelError
from onnxlrp.trees.threshold_grid import grid_shares

Array = np.ndarray
LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""Names of the comparisons, by their numbers in `TreeEnsemble`."""
EQUAL, MEMBER = 4, 6
"""Numbers of BRANCH_EQ and BRANCH_MEMBER."""


def distinct(numbers: Array) -> Array:
    """Sort whole numbers and leave out repeats; `np.unique` puts them into a hash table first, which takes ten times as
    long for millions."""
    ordered = np.sort(numbers)
    return ordered[np.concatenate([np.ones(min(1, ordered.size), bool), ordered[1:] != ordered[:-1]])]


@dataclasses.dataclass(frozen=True, eq=False)
class Forest:
    """A table of all nodes of all trees; the children of a leaf are the leaf itself, so that a walk may go on."""

    roots: Array
    """Index of the root of each tree."""
    feature: Array
    mode: Array
    """Index into `MODES`, or `LEAF`."""
    threshold: Array
    yes: Array
    no: Array
    missing: Array
    """True where NaN goes to the true branch."""
    values: Array
    """Amount that a leaf adds to each target, [nodes, targets], float64."""
    has_weight: Array
    """True where the file gives a leaf a weight for a target, [nodes, targets]."""
    hit_rates: Array
    """Number or share of the samples that reached each node; NaN where the file does not tell."""
    aggregate: str
    base: Array
    """Base values as the file has them."""
    first: Array
    """First weight that the file gives a leaf, NaN without one: onnxruntime distinguishes leaves by it."""
    whole: Array
    """True where a comparison ignores the fraction of the feature."""
    known_share: Array | None = None
    """Value of `told_share` before the trees were rewritten; None if they are as the file has them."""
    double: bool = False
    """True if features are compared in double precision, otherwise in single."""
    taken: Array | None = None
    """Number of background rows that took the true branch and the false branch of each node, [nodes, 2]; None without
    background rows."""

    @functools.cached_property
    def levels(self) -> list[Array]:
        """The nodes by their distance from the root, the longest where several paths lead to a node."""
        by_level: list[Array] = []
        inner, frontier = self.mode != LEAF, distinct(self.roots)
        while frontier.size:
            if len(by_level) > self.mode.size:
                raise InvalidModelError("a tree of the ensemble leads back to one of its own nodes")
            by_level.append(frontier)
            within = frontier[inner[frontier]]
            frontier = distinct(np.concatenate([self.yes[within], self.no[within]]))
        depth = np.zeros(self.mode.size, np.int32)
        for level, nodes in enumerate(by_level):
            depth[nodes] = level
        return [nodes[depth[nodes] == level] for level, nodes in enumerate(by_level)]

    @functools.cached_property
    def chained(self) -> Array:
        """The node that continues a node's chain of equalities, or LEAF: its false branch, where that compares the same
        feature for equality and has the same true branch."""
        equal = self.mode == EQUAL
        after = np.where(equal, self.no, np.arange(self.mode.size))
        joined = equal & equal[after] & (self.feature[after] == self.feature) & (self.yes[after] == self.yes)
        return np.where(joined, after, LEAF)

    @functools.cached_property
    def chain_ends(self) -> Array:
        """The last node of each node's chain of equalities, a node without a chain itself."""
        ends = np.where(self.chained == LEAF, np.arange(self.mode.size), self.chained)
        while (further := ends[ends] != ends).any():
            ends = np.where(further, ends[ends], ends)
        return ends

    @functools.cached_property
    def parents(self) -> Array:
        """Number of branches that lead to each node, [nodes]."""
        inner = self.mode != LEAF
        return np.bincount(np.concatenate([self.yes[inner], self.no[inner]]), minlength=inner.size)

    @functools.cached_property
    def always_weighed(self) -> Array:
        """True for targets for which each sample reaches a leaf with a weight: some tree has one at all its leaves."""
        all_weighed = self.has_weight.copy()
        for nodes in reversed(self.levels):
            inner = nodes[self.mode[nodes] != LEAF]
            all_weighed[inner] = all_weighed[self.yes[inner]] & all_weighed[self.no[inner]]
        found: Array = all_weighed[self.roots].any(axis=0)
        return found

    @property
    def depth(self) -> int:
        """Number of comparisons on the longest path."""
        return len(self.levels) - 1

    @property
    def scale(self) -> float:
        """Factor by which the sums over the trees are multiplied."""
        return 1 / len(self.roots) if self.aggregate == "AVERAGE" else 1.0

    def expectation(self, values: Array) -> Array:
        """Compute the expectation of every node from values [nodes] or [nodes, targets]: a leaf's own value, else the
        mean of the children's expectations, weighted by `share`."""
        expected, share = values.copy(), self.share.reshape(-1, *[1] * (values.ndim - 1))
        for nodes in reversed(self.levels):
            inner = nodes[self.mode[nodes] != LEAF]
            yes, no = expected[self.yes[inner]], expected[self.no[inner]]
            expected[inner] = share[inner] * yes + (1 - share[inner]) * no
        return expected

    @functools.cached_property
    def share(self) -> Array:
        """Share of a node's samples that go to the true branch, [nodes].

        The background rows tell it, else the file's hit rates, else a grid of the forest's thresholds. If all rows that
        reach a comparison take the same branch, the grid counts as one more row, because other rows may differ.
        """
        told = self.told_share
        if self.taken is not None:
            told = np.where(self.taken.all(1), _part(*self.taken.T), np.nan)
        compares = np.concatenate(self.levels)
        compares = compares[self.mode[compares] != LEAF]
        if not np.isnan(told[compares]).any():
            return np.where(np.isnan(told), 0.5, told)
        untold = grid_shares(self)
        if self.taken is not None:
            untold = (self.taken[:, 0] + untold) / (self.taken.sum(1) + 1)
        return np.where(np.isnan(told), untold, told)

    @functools.cached_property
    def told_share(self) -> Array:
        """Share of the true branch by the file's hit rates, [nodes]; NaN where they do not tell."""
        if self.known_share is not None:
            return self.known_share
        rates = self.hit_rates
        if not is_informative(rates):
            return np.full(self.mode.size, np.nan)
        inner = self.mode != LEAF
        # The rate of a node with several parents does not say how many samples came from each.
        own, alone = rates, np.where(self.parents > 1, np.nan, rates)
        yes, no = alone[self.yes], alone[self.no]
        # If only one child has a rate, the other has the rest of the parent's.
        yes, no = np.where(np.isnan(yes), own - no, yes), np.where(np.isnan(no), own - yes, no)
        return np.where(inner & (self.yes != self.no), _part(yes, no), np.nan)

    @property
    def share_source(self) -> str:
        """The source of `share`, in words for the plan."""
        count = None if self.taken is None else int(self.taken.sum(1).max(initial=0))
        return share_source(count, bool((np.isfinite(self.told_share) & (self.mode != LEAF)).any()))


def share_source(rows: int | None, told: bool) -> str:
    """Name the source of shares: the background and the number of its rows; else, if `told`, the file's hit rates; else
    the grid of thresholds."""
    if rows is not None:
        return f"the background's {rows} rows" if rows != 1 else "the background's row"
    return "the file's hit rates" if told else "the threshold grid"


def is_informative(rates: Array) -> bool:
    """Decide whether hit rates differ; converters write the same number for every node."""
    known = rates[np.isfinite(rates)]
    return bool(known.size and (known != known[0]).any())


def _part(yes: Array, no: Array) -> Array:
    """Compute yes / (yes + no); NaN where one of them is no count, or both are 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        part = yes / (yes + no)
    return np.where((yes >= 0) & (no >= 0) & np.isfinite(part), part, np.nan)
