"""All nodes of all trees in one table, and every node's expectation."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from onnxlrp.errors import InvalidModelError

Array = np.ndarray
LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""How a node compares, by its number in `TreeEnsemble`."""
EQUAL, MEMBER = 4, 6
"""Two of these numbers."""


@dataclasses.dataclass(frozen=True, eq=False)
class Forest:
    """All nodes of all trees in one table. A leaf's children are the leaf itself, so that a walk may go on."""

    roots: Array
    """The root of each tree."""
    feature: Array
    mode: Array
    """An index into `MODES`, or `LEAF`."""
    threshold: Array
    yes: Array
    no: Array
    missing: Array
    """Decide whether a NaN goes where a true comparison goes."""
    values: Array
    """[nodes, targets], float64: what a leaf adds to a target."""
    has_weight: Array
    """[nodes, targets]: whether a leaf says anything of a target."""
    hit_rates: Array
    """How many samples came by, or how often; NaN where nothing is said."""
    aggregate: str
    base: Array
    """The base values as they stand."""
    first: Array
    """The first weight that the file gives a leaf, NaN where there is none: onnxruntime tells leaves apart by it."""
    whole: Array
    """Decide whether a comparison takes the feature without its fraction."""
    known_share: Array | None = None
    """`share`, where a rewrite of the trees must not change the expectations."""

    @functools.cached_property
    def levels(self) -> list[Array]:
        """The nodes by their distance from the root, the farthest where there are several ways."""
        found: list[Array] = []
        inner, frontier = self.mode != LEAF, np.unique(self.roots)
        while frontier.size:
            if len(found) > self.mode.size:
                raise InvalidModelError("a tree of the ensemble leads back to one of its own nodes")
            found.append(frontier)
            within = frontier[inner[frontier]]
            frontier = np.unique(np.concatenate([self.yes[within], self.no[within]]))
        depth = np.zeros(self.mode.size, np.int64)
        for level, nodes in enumerate(found):
            depth[nodes] = level
        return [nodes[depth[nodes] == level] for level, nodes in enumerate(found)]

    @property
    def depth(self) -> int:
        """The number of comparisons on the longest path."""
        return len(self.levels) - 1

    @property
    def scale(self) -> float:
        """The factor of the sums of the trees."""
        return 1 / len(self.roots) if self.aggregate == "AVERAGE" else 1.0

    def expectation(self, values: Array) -> Array:
        """Of a leaf its values [nodes] or [nodes, targets], of an inner node the mean of its children's, weighed."""
        expected, share = values.copy(), self.share.reshape(-1, *[1] * (values.ndim - 1))
        for nodes in reversed(self.levels):
            inner = nodes[self.mode[nodes] != LEAF]
            yes, no = expected[self.yes[inner]], expected[self.no[inner]]
            expected[inner] = share[inner] * yes + (1 - share[inner]) * no
        return expected

    @functools.cached_property
    def share(self) -> Array:
        """Return the share of a node's samples that a true comparison takes; one half where no hit rates say it."""
        if self.known_share is not None:
            return self.known_share
        known = self.hit_rates[np.isfinite(self.hit_rates)]
        share = np.full(self.mode.size, 0.5)
        if known.size == 0 or (known == known[0]).all():
            return share
        own, yes, no = self.hit_rates, self.hit_rates[self.yes], self.hit_rates[self.no]
        # What is said of one child alone leaves the rest of the parent's for the other.
        yes, no = np.where(np.isnan(yes), own - no, yes), np.where(np.isnan(no), own - yes, no)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = yes / (yes + no)
        said = (self.mode != LEAF) & (yes >= 0) & (no >= 0) & np.isfinite(part) & (self.yes != self.no)
        return np.where(said, part, share)
