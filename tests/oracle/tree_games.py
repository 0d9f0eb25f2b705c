"""The games that Shapley values of tree ensembles belong to, played by brute force over all subsets of features.

Nothing here is shared with the package: a game is a function from the set of known features to the scores [targets] of
one sample, by a walk down the trees of `tests.oracle.trees`. Small forests alone: 2^features walks for each sample.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.oracle.trees import Branch, Leaf

Array = np.ndarray
Known = frozenset[int]
Game = Callable[[Known], Array]
"""The scores [targets] where the features of a set are known."""


def scores(roots: Sequence[Branch | Leaf], x: Array, targets: int) -> Array:
    """Add up the leaves that a sample [features] reaches, [targets]."""
    total = np.zeros(targets)
    for node in roots:
        while isinstance(node, Branch):
            found = node.next(x)
            assert found is not None
            node = found
        total += _weights(node, targets)
    return total


def interventional(roots: Sequence[Branch | Leaf], x: Array, background: Array, targets: int) -> Game:
    """Make the game in which unknown features come from a background row, and the scores are the mean over all rows
    [rows, features]."""

    def game(known: Known) -> Array:
        mixed = background.copy()
        mixed[:, list(known)] = x[list(known)]
        return np.mean([scores(roots, row, targets) for row in mixed], axis=0)

    return functools.cache(game)


def path_dependent(roots: Sequence[Branch | Leaf], x: Array, targets: int) -> Game:
    """Make the game in which a comparison of an unknown feature leads to both branches, each by its share of the
    samples, as the nodes' `rate` tells: by halves where it does not."""

    def expected(node: Branch | Leaf, known: Known) -> Array:
        if isinstance(node, Leaf):
            return _weights(node, targets)
        if node.feature in known:
            found = node.next(x)
            assert found is not None
            return expected(found, known)
        assert node.yes is not None and node.no is not None
        yes, no = node.yes.rate, node.no.rate
        share = 0.5 if yes is None or no is None else yes / (yes + no)
        return share * expected(node.yes, known) + (1 - share) * expected(node.no, known)

    return functools.cache(lambda known: np.sum([expected(root, known) for root in roots], axis=0))


def values(game: Game, features: int) -> Array:
    """Compute the Shapley values, [features, targets], from their definition."""
    found = [
        sum(_weight(len(s), features - 1) * (game(s | {i}) - game(s)) for s in _subsets(features, {i}))
        for i in range(features)
    ]
    return np.array(found)


def interactions(game: Game, features: int) -> Array:
    """Compute the Shapley interactions, [features, features, targets], as shap shows them: the index of a pair is
    halved between (i, j) and (j, i), and every row adds up to the Shapley value."""
    found = np.zeros((features, features, *game(frozenset()).shape))
    for i, j in itertools.combinations(range(features), 2):
        index = sum(
            _weight(len(s), features - 2) * (game(s | {i, j}) - game(s | {i}) - game(s | {j}) + game(s))
            for s in _subsets(features, {i, j})
        )
        found[i, j] = found[j, i] = index / 2
    diagonal = values(game, features) - found.sum(1)
    found[np.arange(features), np.arange(features)] = diagonal
    return found


def _weights(leaf: Leaf, targets: int) -> Array:
    return np.array([leaf.weights.get(t, 0.0) for t in range(targets)])


def _weight(size: int, others: int) -> float:
    """Share of the orders of all players in which a set of this size, out of the others, comes first."""
    return 1 / ((others + 1) * math.comb(others, size))


def _subsets(features: int, without: set[int]) -> list[Known]:
    others = [f for f in range(features) if f not in without]
    return [frozenset(s) for size in range(len(others) + 1) for s in itertools.combinations(others, size)]
