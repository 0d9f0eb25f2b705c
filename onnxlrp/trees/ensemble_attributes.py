"""Tree ensembles as arrays, read from the attributes of ai.onnx.ml's tree operators."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.graph.call import Call
from onnxlrp.memory import check_elements
from onnxlrp.trees.forest import LEAF, MEMBER, MODES, Array, Forest
from onnxlrp.trees.members import merged, without_members

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


def forest(call: Call) -> Forest:
    """Read the ensemble of a call of TreeEnsemble, TreeEnsembleRegressor or TreeEnsembleClassifier."""
    trees = unmerged_forest(call)
    taken = call.attr("covers")
    return dataclasses.replace(merged(trees, trees.double), taken=None if taken is None else taken.numpy())


def unmerged_forest(call: Call) -> Forest:
    """Read the ensemble of a call as the file has it, but with every set as a chain of equalities at the table's end.

    The runtime joins some chains; see `members.merged`.
    """
    trees = _of_trees(call) if call.op_type == "TreeEnsemble" else _of_nodes(call)
    if (trees.mode == MEMBER).any():
        values = call.attr("membership_values")
        trees = without_members(trees, np.zeros(0) if values is None else values.numpy())
    x = call.original[0]
    return dataclasses.replace(trees, double=x is not None and x.dtype == ir.DataType.DOUBLE)


def drop_unused_attributes(node: ir.Node) -> None:
    """Remove attributes of a tree operator that no runtime reads: hit rates, which the tables beside the operator
    hold too, and flags of missing values if none is set."""
    if node.domain != "ai.onnx.ml" or not node.op_type.startswith("TreeEnsemble"):
        return
    unread = ["nodes_hitrates", "nodes_hitrates_as_tensor"]
    flags = node.attributes.get("nodes_missing_value_tracks_true")
    if flags is not None and not any(flags.as_ints()):
        unread.append(flags.name)
    for name in unread:
        node.attributes.pop(name, None)


def class_count(call: Call) -> int:
    """Count the classes of a classifier."""
    return max(len(call.attr(name, ())) for name in ("classlabels_strings", "classlabels_int64s"))


def numbers(call: Call, name: str, default: Any = ()) -> Array:
    """Read an attribute of floats as float64 [n]: a list under `name`, or a tensor under `{name}_as_tensor`."""
    tensor = call.attr(f"{name}_as_tensor")
    return np.asarray(call.attr(name, default) if tensor is None else tensor.numpy(), np.float64).reshape(-1)


def _ints(call: Call, name: str) -> Array:
    return np.asarray(call.attr(name, ()), np.int64).reshape(-1)


def _of_nodes(call: Call) -> Forest:
    """Read a regressor or classifier: nodes are named by (tree, node) numbers, leaf weights are in separate lists."""
    trees, ids = _ints(call, "nodes_treeids"), _ints(call, "nodes_nodeids")
    kind = "class" if call.op_type == "TreeEnsembleClassifier" else "target"
    count = class_count(call) if kind == "class" else int(call.attr("n_targets", 1))
    place = _Places(trees, ids)
    known = {name: number for number, name in enumerate(MODES)}
    mode = np.array([known.get(_text(m), LEAF) for m in call.attr("nodes_modes", ())], np.int64)
    leaf, own = mode == LEAF, np.arange(mode.size)
    # Leaves name children too, but these need not exist.
    yes, no = (
        np.where(leaf, own, place.of(trees, np.where(leaf, ids, _ints(call, f"nodes_{side}nodeids"))))
        for side in ("true", "false")
    )
    check_elements([mode.size, count], f"{call.op_type} node {call.name!r}")
    values, has_weight = np.zeros((mode.size, count)), np.zeros((mode.size, count), bool)
    where = place.of(_ints(call, f"{kind}_treeids"), _ints(call, f"{kind}_nodeids")), _ints(call, f"{kind}_ids")
    weights, first = numbers(call, f"{kind}_weights"), np.full(mode.size, np.nan)
    np.add.at(values, where, weights)
    has_weight[where] = True
    first[where[0][::-1]] = weights[::-1]
    return Forest(
        roots=np.unique(trees, return_index=True)[1],
        feature=_ints(call, "nodes_featureids"),
        mode=mode,
        threshold=numbers(call, "nodes_values"),
        yes=yes,
        no=no,
        missing=_flags(call, mode.size) & ~leaf,
        values=np.where(leaf[:, None], values, 0),
        has_weight=has_weight & leaf[:, None],
        hit_rates=_rates(numbers(call, "nodes_hitrates"), mode.size),
        aggregate=_text(call.attr("aggregate_function", "SUM")),
        base=numbers(call, "base_values"),
        first=first,
        whole=np.zeros(mode.size, bool),
    )


def _of_trees(call: Call) -> Forest:
    """Read a `TreeEnsemble`, whose inner nodes and leaves are in two tables: here the leaves follow the inner nodes."""
    mode = call.attr("nodes_modes").numpy().astype(np.int64)
    nodes, weights = mode.size, call.attr("leaf_weights").numpy().astype(np.float64)
    leaves, count = weights.size, int(call.attr("n_targets"))
    yes, no = (
        _ints(call, f"nodes_{side}nodeids") + nodes * (_ints(call, f"nodes_{side}leafs") != 0)
        for side in ("true", "false")
    )
    own = np.arange(nodes, nodes + leaves)
    check_elements([nodes + leaves, count], f"{call.op_type} node {call.name!r}")
    values, has_weight = np.zeros((nodes + leaves, count)), np.zeros((nodes + leaves, count), bool)
    values[own, _ints(call, "leaf_targetids")] = weights
    has_weight[own, _ints(call, "leaf_targetids")] = True
    hit_rates = call.attr("nodes_hitrates")
    nothing = np.zeros(leaves, np.int64)
    return Forest(
        roots=_ints(call, "tree_roots"),
        feature=np.concatenate([_ints(call, "nodes_featureids"), nothing]),
        mode=np.concatenate([mode, nothing + LEAF]),
        threshold=np.concatenate([call.attr("nodes_splits").numpy().astype(np.float64), nothing]),
        yes=np.concatenate([yes, own]),
        no=np.concatenate([no, own]),
        missing=np.concatenate([_flags(call, nodes), nothing != 0]),
        values=values,
        has_weight=has_weight,
        hit_rates=_rates(np.zeros(0) if hit_rates is None else hit_rates.numpy().reshape(-1), nodes + leaves),
        aggregate=_AGGREGATES[int(call.attr("aggregate_function", 1))],
        base=np.zeros(0),
        first=np.concatenate([np.full(nodes, np.nan), weights]),
        whole=np.zeros(nodes + leaves, bool),
    )


class _Places:
    """Indices of nodes in the lists, by the numbers of their tree and their own."""

    def __init__(self, trees: Array, ids: Array) -> None:
        self.width = int(ids.max(initial=0)) + 1
        keys = trees * self.width + ids
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]

    def of(self, trees: Array, ids: Array) -> Array:
        """Return the indices of nodes; raises InvalidModelError where one does not exist."""
        wanted = trees * self.width + ids
        at = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        if wanted.size and ((ids < 0) | (ids >= self.width) | (self.keys[at] != wanted)).any():
            raise InvalidModelError("a tree of the ensemble names a node that it does not have")
        return self.order[at]


def _flags(call: Call, size: int) -> Array:
    flags = _ints(call, "nodes_missing_value_tracks_true") != 0
    return flags if flags.size == size else np.zeros(size, bool)


def _rates(hit_rates: Array, size: int) -> Array:
    """Extend the rates of the first nodes to all nodes, NaN for the rest."""
    return np.concatenate([hit_rates, np.full(max(size - hit_rates.size, 0), np.nan)])[:size].astype(np.float64)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
