"""Comparisons of tree nodes with sets and with chains of numbers, as onnxruntime's kernel evaluates them.

The kernel expands `x in {a, b}` into `x = a, else x = b`, and joins such chains, whoever wrote them, into one
comparison: see `merged`. A set with a member below 0 or above 30 stays a set of int32, and the feature is compared as C
casts it: without its fraction, and as −2³¹ if it is out of int32's range or NaN.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.trees.forest import EQUAL, LEAF, MEMBER, Array, Forest

_WHOLE_TABLE = ("roots", "aggregate", "base", "double", "taken")
"""Fields of a forest that are not columns of its table of nodes."""
_LARGEST = 30
"""Largest member of a set that the kernel expands."""
_JOINED = (32, 64)
"""Largest number in a chain that the kernel joins, for float and for double trees: the bits of a threshold."""


def without_members(trees: Forest, values: Array) -> Forest:
    """Expand each `x in {a, b}` into a chain of nodes `x = a, else x = b`.

    If the file tells a set's share, the last node of the chain has it, and the others give all to their false branch.
    `values` holds the members of all sets, in the order of their nodes, with a NaN after each set.
    """
    flat = values.astype(np.float64)
    sets = [part[~np.isnan(part)] for part in np.split(flat, np.flatnonzero(np.isnan(flat)) + 1)]
    trees = dataclasses.replace(trees, known_share=trees.told_share)
    members = np.flatnonzero(trees.mode == MEMBER)
    table = {f.name: list(getattr(trees, f.name)) for f in dataclasses.fields(trees) if f.name not in _WHOLE_TABLE}
    for node, members_of in zip(members, sets, strict=False):
        last = table["no"][node]
        table["whole"][node] = bool(((members_of < 0) | (members_of > _LARGEST)).any())
        chain = [node, *range(len(table["mode"]), len(table["mode"]) + len(members_of) - 1)]
        for column in table.values():
            column.extend(column[node] for _ in chain[1:])
        for i, (at, number) in enumerate(zip(chain, members_of, strict=False)):
            table["mode"][at], table["threshold"][at] = EQUAL, number
            if i + 1 < len(chain):
                table["no"][at] = chain[i + 1]
                table["known_share"][at] *= 0.0  # NaN, which stands for unknown, remains
            else:
                table["no"][at] = last
        if not len(members_of):
            table["mode"][node], table["threshold"][node] = EQUAL, np.inf
            table["yes"][node] = last
    arrays: dict[str, Any] = {name: np.asarray(column) for name, column in table.items()}
    return dataclasses.replace(trees, **arrays)


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
    yes, missing, joined = trees.yes.copy(), trees.missing.copy(), np.zeros(number.size, bool)
    for nodes in trees.levels if bits.any() else ():
        for head in nodes[bits[nodes] & ~trees.missing[nodes]]:
            node = trees.no[head]
            while not joined[head] and bits[node] and trees.feature[node] == trees.feature[head]:
                if not _are_equal(trees, trees.yes[head], trees.yes[node]):
                    break
                yes[node], missing[node], joined[node] = yes[head], False, True
                node = trees.no[node]
    if np.array_equal(yes, trees.yes) and np.array_equal(missing, trees.missing):
        return trees
    return dataclasses.replace(trees, yes=yes, missing=missing, known_share=trees.told_share)


def _are_equal(trees: Forest, one: int, other: int) -> bool:
    """Decide whether onnxruntime considers two nodes and their subtrees equal."""
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
