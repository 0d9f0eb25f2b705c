"""Comparisons of tree nodes with sets and with chains of numbers, as onnxruntime's kernel evaluates them.

The kernel expands `x in {a, b}` into `x = a, else x = b`, and joins such chains, whoever wrote them, into one
comparison: see `merged`. A set with a member below 0 or above 30 stays a set of int32, and the feature is compared as C
casts it: without its fraction, and as −2³¹ if it is out of int32's range or NaN.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.errors import InvalidModelError
from onnxlrp.trees.forest import EQUAL, LEAF, MEMBER, Array, Forest

_WHOLE_TABLE = ("roots", "aggregate", "base", "double", "taken")
"""Fields of a forest that are not columns of its table of nodes."""
_LARGEST = 30
"""Largest member of a set that the kernel expands."""
_JOINED = (32, 64)
"""Largest number in a chain that the kernel joins, for float and for double thresholds: it is the number of bits in a
threshold."""


def without_members(trees: Forest, values: Array) -> Forest:
    """Expand each `x in {a, b}` into a chain of nodes `x = a, else x = b`.

    If the file tells a set's share, the last node of the chain has it, and the others give all to their false branch.
    `values` holds the members of all sets, in the order of their nodes, with a NaN after each set. Raises
    InvalidModelError if sets are missing.
    """
    nodes, ends = np.flatnonzero(trees.mode == MEMBER), np.flatnonzero(np.isnan(values))
    starts, stops = np.concatenate([[0], ends + 1]), np.concatenate([ends, [values.size]])
    if starts.size < nodes.size:
        raise InvalidModelError(f"an ensemble compares with {nodes.size} sets, and holds {starts.size}")
    starts, sizes = starts[: nodes.size], (stops - starts)[: nodes.size]
    more = np.maximum(sizes - 1, 0)
    table = _extended(trees, np.repeat(nodes, more))
    owner = np.repeat(np.arange(nodes.size), sizes)
    rank = np.arange(owner.size) - (np.cumsum(sizes) - sizes)[owner]
    added = trees.mode.size + np.cumsum(more) - more
    at, number = np.where(rank == 0, nodes[owner], added[owner] + rank - 1), values[starts[owner] + rank]
    table["mode"][at], table["threshold"][at] = EQUAL, number
    has_next = np.flatnonzero(rank + 1 < sizes[owner])
    table["no"][at[has_next]] = at[has_next + 1]
    table["known_share"][at[has_next]] *= 0.0  # NaN, which stands for unknown, remains
    stays = np.zeros(nodes.size, bool)
    stays[owner[(number < 0) | (number > _LARGEST)]] = True
    table["whole"][at] = stays[owner]
    empty = nodes[sizes == 0]
    table["mode"][empty], table["threshold"][empty], table["yes"][empty] = EQUAL, np.inf, table["no"][empty]
    return dataclasses.replace(trees, **table)


def _extended(trees: Forest, more: Array) -> dict[str, Any]:
    """Copy the columns of a forest's table, with copies of the nodes `more` at the end."""
    trees = dataclasses.replace(trees, known_share=trees.told_share)
    rows = np.concatenate([np.arange(trees.mode.size), more])
    names = [f.name for f in dataclasses.fields(trees) if f.name not in _WHOLE_TABLE]
    return {name: getattr(trees, name)[rows] for name in names}


def merged(trees: Forest, double: bool) -> Forest:
    """Join chains of nodes, `x = a`, else `x = b`, into one comparison with small whole numbers, as onnxruntime does.

    The true branches of a chain's nodes are equal. The comparison leads to that of the first node, and sends NaN where
    the first node sends it; a node that sends NaN to its true branch begins no chain. onnxruntime considers leaves
    equal that have the same first weight, whatever class it is for. So a tree may answer another class than its file
    says, and the path that it really follows is explained.
    """
    number = trees.threshold
    bits = (trees.mode == EQUAL) & ~trees.whole & (number == np.round(number))
    bits &= (number >= 1) & (number <= _JOINED[double])
    continues = _continues(trees, np.flatnonzero(bits & bits[trees.no]))
    yes, missing, joined = trees.yes.copy(), trees.missing.copy(), np.zeros(number.size, bool)
    for nodes in trees.levels if continues.any() else ():
        of_chain = nodes[continues[nodes]]
        of_chain = of_chain[joined[of_chain] | ~trees.missing[of_chain]]
        following = trees.no[of_chain]
        yes[following], missing[following], joined[following] = yes[of_chain], False, True
    if np.array_equal(yes, trees.yes) and np.array_equal(missing, trees.missing):
        return trees
    return dataclasses.replace(trees, yes=yes, missing=missing, known_share=trees.told_share)


def _continues(trees: Forest, nodes: Array) -> Array:
    """Decide which of some nodes have a false branch that compares the same feature and has an equal true branch, bool
    [all nodes]."""
    nodes = nodes[trees.feature[nodes] == trees.feature[trees.no[nodes]]]
    continues = np.zeros(trees.mode.size, bool)
    continues[nodes] = _are_equal(trees, trees.yes[nodes], trees.yes[trees.no[nodes]])
    return continues


def _are_equal(trees: Forest, ones: Array, others: Array) -> Array:
    """Decide of pairs of nodes whether onnxruntime considers them and their subtrees equal."""
    equal, pair = np.ones(ones.size, bool), np.arange(ones.size)
    while ones.size:
        fit = ones == others
        leaf = trees.mode[ones] == LEAF
        alike = np.where(leaf, trees.first[ones] == trees.first[others], True)
        for column in (trees.mode, trees.feature, trees.threshold, trees.whole):
            alike &= column[ones] == column[others]
        equal[pair[~fit & ~alike]] = False
        deeper = np.flatnonzero(~fit & ~leaf & equal[pair])
        pair, ones, others = (
            np.tile(pair[deeper], 2),
            *(np.concatenate([trees.yes[side[deeper]], trees.no[side[deeper]]]) for side in (ones, others)),
        )
    return equal
