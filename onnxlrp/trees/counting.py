"""Counts of the rows of data that take each branch of a tree ensemble."""

from __future__ import annotations

import numpy as np

from onnxlrp.graph.call import Call
from onnxlrp.trees.columns import column
from onnxlrp.trees.ensemble_attributes import unmerged_forest
from onnxlrp.trees.forest import LEAF, Array, Forest
from onnxlrp.trees.members import merged
from onnxlrp.trees.rows_in_trees import outcomes

_AT_ONCE = 1 << 21
"""Number of pairs of a row and a tree that walk at once."""


def taken_branches(trees: Forest, rows: Array) -> Array:
    """Count the rows [rows, features] that take the true branch and the false branch of each node, int64 [nodes, 2].

    Thresholds are compared in the runtime's own type, and NaN goes where each node sends it.
    """
    rows = rows.astype(np.float64 if trees.double else np.float32)
    taken = np.zeros((trees.mode.size, 2), np.int64)
    step = max(1, _AT_ONCE // max(trees.roots.size, 1))
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        row = np.repeat(np.arange(len(chunk)), trees.roots.size)
        node = np.tile(trees.roots, len(chunk))
        for _ in range(trees.depth):
            walking = trees.mode[node] != LEAF
            row, node = row[walking], node[walking]
            passes = outcomes(trees, node, chunk[row, trees.feature[node]])
            for side, chosen in enumerate((passes, ~passes)):
                taken[:, side] += np.bincount(node[chosen], minlength=trees.mode.size)
            node = np.where(passes, trees.yes[node], trees.no[node])
    return taken


def reached_nodes(trees: Forest, taken: Array, count: int) -> Array:
    """Count how often each node is reached, int64 [nodes], by `count` rows that take these branches."""
    reached = np.bincount(trees.roots, minlength=trees.mode.size) * count
    inner = np.flatnonzero(trees.mode != LEAF)
    for side, children in enumerate((trees.yes, trees.no)):
        reached += np.bincount(children[inner], taken[inner, side], trees.mode.size).astype(np.int64)
    return reached


def branch_counts(call: Call, rows: Array) -> tuple[Array, Array]:
    """Count rows [rows, features] in the ensemble of a call.

    Returns two arrays: the rows that take the true and the false branch of each node of `forest(call)`, [nodes, 2]; and
    the rows that reach each node that the attributes list, in their order. The second array is counted in the trees as
    the file has them, with no chains joined, so that whoever reads it from the file gets the same shares.
    """
    written = unmerged_forest(call)
    trees = merged(written, written.double)
    taken = taken_branches(trees, rows)
    own = taken if trees is written else taken_branches(written, rows)
    return taken, reached_nodes(written, own, len(rows))[: _own_nodes(call)]


def _own_nodes(call: Call) -> int:
    """Count the nodes that an operator can give a hit rate: those of `TreeEnsemble` do not include leaves."""
    modes = column(call.attributes, "nodes_modes")
    return 0 if modes is None else modes.size
