"""The table of all nodes of a tree ensemble, and the expectation of every node."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from onnxlrp.errors import InvalidModelError

Array = np.ndarray
LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""Names of the comparisons, by their numbers in `TreeEnsemble`."""
EQUAL, MEMBER = 4, 6
"""Numbers of BRANCH_EQ and BRANCH_MEMBER."""


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
    """Value of `share` if a rewrite of the trees must not change the expectations."""

    @functools.cached_property
    def levels(self) -> list[Array]:
        """The nodes by their distance from the root, the longest where several paths lead to a node."""
        by_level: list[Array] = []
        inner, frontier = self.mode != LEAF, np.unique(self.roots)
        while frontier.size:
            if len(by_level) > self.mode.size:
                raise InvalidModelError("a tree of the ensemble leads back to one of its own nodes")
            by_level.append(frontier)
            within = frontier[inner[frontier]]
            frontier = np.unique(np.concatenate([self.yes[within], self.no[within]]))
        depth = np.zeros(self.mode.size, np.int64)
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
        """Share of a node's samples that go to the true branch; one half where hit rates do not tell."""
        if self.known_share is not None:
            return self.known_share
        known = self.hit_rates[np.isfinite(self.hit_rates)]
        share = np.full(self.mode.size, 0.5)
        if known.size == 0 or (known == known[0]).all():
            return share
        own, yes, no = self.hit_rates, self.hit_rates[self.yes], self.hit_rates[self.no]
        # If only one child has a rate, the other has the rest of the parent's.
        yes, no = np.where(np.isnan(yes), own - no, yes), np.where(np.isnan(no), own - yes, no)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = yes / (yes + no)
        said = (self.mode != LEAF) & (yes >= 0) & (no >= 0) & np.isfinite(part) & (self.yes != self.no)
        return np.where(said, part, share)
