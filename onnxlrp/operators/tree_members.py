"""Comparisons of trees with sets and with chains of single numbers, as onnxruntime's kernel takes them.

It spreads `x in {a, b}` out to `x = a, else x = b`, and joins such a chain again, whoever wrote it: see `merged`. A set
with a member below 0 or above 30 it keeps as one of int32, and looks a feature up there as C casts it: without its
fraction, and as −2³¹ if that is no int32, which NaN is not either.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.operators.tree_nodes import EQUAL, LEAF, MEMBER, Array, Forest

_WHOLE_TABLE = ("roots", "aggregate", "base")
"""The parts of a forest beside its nodes."""
_LARGEST = 30
"""The largest member of sets that are spread out."""
_JOINED = (32, 64)
"""The largest number of a chain that is joined, in float trees and in double ones: the bits of a threshold."""


def without_members(found: Forest, values: Array) -> Forest:
    """`x in {a, b}` as `x = a, else x = b`: a chain of nodes, each with the first one's expectation. That is the last
    one's, of which the others take all.

    `values`: the sets of the nodes that ask for membership, in the order of the nodes, a NaN at the end of each.
    """
    flat = values.astype(np.float64)
    sets = [part[~np.isnan(part)] for part in np.split(flat, np.flatnonzero(np.isnan(flat)) + 1)]
    found = dataclasses.replace(found, known_share=found.share)
    members = np.flatnonzero(found.mode == MEMBER)
    table = {f.name: list(getattr(found, f.name)) for f in dataclasses.fields(found) if f.name not in _WHOLE_TABLE}
    for node, members_of in zip(members, sets, strict=False):
        last = table["no"][node]
        table["whole"][node] = bool(((members_of < 0) | (members_of > _LARGEST)).any())
        chain = [node, *range(len(table["mode"]), len(table["mode"]) + len(members_of) - 1)]
        for column in table.values():
            column.extend(column[node] for _ in chain[1:])
        for i, (at, number) in enumerate(zip(chain, members_of, strict=False)):
            table["mode"][at], table["threshold"][at] = EQUAL, number
            if i + 1 < len(chain):
                table["no"][at], table["known_share"][at] = chain[i + 1], 0.0
            else:
                table["no"][at] = last
        if not len(members_of):
            table["mode"][node], table["threshold"][node] = EQUAL, np.inf
            table["yes"][node] = last
    arrays: dict[str, Any] = {name: np.asarray(column) for name, column in table.items()}
    return dataclasses.replace(found, **arrays)


def merged(trees: Forest, double: bool) -> Forest:
    """Chains `x = a, else x = b` of small whole numbers as onnxruntime joins them to one comparison.

    That goes where the first one's true branch leads, and sends NaN the first one's way. onnxruntime joins where the
    true branches are equal, but takes leaves with the same first weight for equal, whatever class that is for: such a
    tree answers another class than its file says, and the path that it takes is explained. A node that sends NaN the
    way of a true comparison begins no chain.
    """
    number = trees.threshold
    bits = (trees.mode == EQUAL) & ~trees.whole & (number == np.round(number))
    bits &= (number >= 1) & (number <= _JOINED[double])
    yes, missing, joined = trees.yes.copy(), trees.missing.copy(), np.zeros(number.size, bool)
    for nodes in trees.levels if bits.any() else ():
        for head in nodes[bits[nodes] & ~trees.missing[nodes]]:
            node = trees.no[head]
            while not joined[head] and bits[node] and trees.feature[node] == trees.feature[head]:
                if not _taken_for_equal(trees, trees.yes[head], trees.yes[node]):
                    break
                yes[node], missing[node], joined[node] = yes[head], False, True
                node = trees.no[node]
    if np.array_equal(yes, trees.yes) and np.array_equal(missing, trees.missing):
        return trees
    return dataclasses.replace(trees, yes=yes, missing=missing, known_share=trees.share)


def _taken_for_equal(trees: Forest, one: int, other: int) -> bool:
    """Decide whether onnxruntime takes two nodes, and all downstream of them, for equal."""
    pairs = [(one, other)]
    while pairs:
        a, b = pairs.pop()
        if a == b:
            continue
        columns = (trees.mode, trees.feature, trees.threshold, trees.whole)
        if any(column[a] != column[b] for column in columns):
            return False
        if trees.mode[a] != LEAF:
            pairs += [(trees.yes[a], trees.yes[b]), (trees.no[a], trees.no[b])]
        elif trees.first[a] != trees.first[b]:
            return False
    return True
