"""Tree ensembles as arrays, read from the attributes of ai.onnx.ml's tree operators."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.graph.call import Call
from onnxlrp.graph.provenance import is_counted
from onnxlrp.memory import check_elements
from onnxlrp.trees.columns import column, forget, is_ensemble
from onnxlrp.trees.forest import LEAF, MEMBER, Array, Forest, is_informative
from onnxlrp.trees.members import merged, without_members

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_KEYS = ("onnxlrp.forest", "onnxlrp.unmerged_forest")
"""Keys under which the `meta` of the attribute `nodes_modes` holds the forests that were read."""
_PLANNED = ("covers", "background", "game")
"""Attributes that the plan adds to a call, and that say nothing about the trees themselves."""


def forest(call: Call) -> Forest:
    """Read the ensemble of a call of TreeEnsemble, TreeEnsembleRegressor or TreeEnsembleClassifier."""

    def read() -> Forest:
        trees, taken = unmerged_forest(call), call.attr("covers")
        return dataclasses.replace(merged(trees, trees.double), taken=None if taken is None else taken.numpy())

    return _once(call, _KEYS[0], call.attributes, read)


def unmerged_forest(call: Call) -> Forest:
    """Read the ensemble of a call as the file has it, but with every set as a chain of equalities at the table's end.

    The runtime joins some chains; see `members.merged`.
    """

    def read() -> Forest:
        trees = _of_trees(call) if call.op_type == "TreeEnsemble" else _of_nodes(call)
        if (trees.mode == MEMBER).any():
            trees = without_members(trees, numbers(call, "membership_values"))
        forget(call.attributes)
        x = call.original[0]
        return dataclasses.replace(trees, double=x is not None and x.dtype == ir.DataType.DOUBLE)

    return _once(call, _KEYS[1], [name for name in call.attributes if name not in _PLANNED], read)


def _once(call: Call, key: str, names: Collection[str], read: Callable[[], Forest]) -> Forest:
    """Read a forest, or return the one that was read from the same attributes earlier: the `meta` of `nodes_modes`
    holds it under `key`."""
    modes, x = call.attributes["nodes_modes"], call.original[0]
    # The modes are left out, because their `meta` holds this list: they would keep themselves alive.
    parts = [
        call.op_type,
        None if x is None else x.dtype,
        *(call.attributes[name] for name in sorted(names) if name != "nodes_modes"),
    ]
    known, trees = modes.meta.get(key, ([], None))
    if trees is None or len(known) != len(parts) or any(a is not b for a, b in zip(known, parts, strict=True)):
        trees = read()
        modes.meta[key] = parts, trees
    return trees


def aggregate_of(call: Call) -> str:
    """Return how an ensemble joins its trees: "SUM", "AVERAGE", "MIN" or "MAX"."""
    if call.op_type == "TreeEnsemble":
        return _AGGREGATES[int(call.attr("aggregate_function", 1))]
    return _text(call.attr("aggregate_function", "SUM"))


def has_informative_rates(call: Call) -> bool:
    """Decide whether an ensemble's hit rates tell how often its nodes are reached."""
    return is_informative(_floats(call, "nodes_hitrates"))


def drop_unused_attributes(node: ir.Node) -> None:
    """Remove attributes of a tree operator that no runtime reads: hit rates, whose shares the relevance part has in
    constants of its own, and flags of missing values if none is set. The forest that was read from the attributes is
    dropped too.

    Hit rates that were counted during the conversion stay, for programs that read the file again.
    """
    if not is_ensemble(node):
        return
    for key in _KEYS if "nodes_modes" in node.attributes else ():
        node.attributes["nodes_modes"].meta.pop(key, None)
    unread = [] if is_counted(node) else ["nodes_hitrates", "nodes_hitrates_as_tensor"]
    flags = "nodes_missing_value_tracks_true"
    are_set = column(node.attributes, flags)
    if are_set is not None and not are_set.any():
        unread.append(flags)
    for name in unread:
        node.attributes.pop(name, None)


def class_count(call: Call) -> int:
    """Count the classes of a classifier."""
    return max(len(call.attr(name, ())) for name in ("classlabels_strings", "classlabels_int64s"))


def numbers(call: Call, name: str) -> Array:
    """Read an attribute of floats as float64 [n]: a list or tensor under `name`, or a tensor under
    `{name}_as_tensor`."""
    return _floats(call, name).astype(np.float64)


def _floats(call: Call, name: str) -> Array:
    """Read an attribute of floats in the type that it has."""
    tensor = column(call.attributes, f"{name}_as_tensor")
    values = column(call.attributes, name) if tensor is None else tensor
    return np.zeros(0) if values is None else values


def _ints(call: Call, name: str) -> Array:
    values = column(call.attributes, name)
    return np.zeros(0, np.int64) if values is None else values


def _of_nodes(call: Call) -> Forest:
    """Read a regressor or classifier: nodes are named by (tree, node) numbers, leaf weights are in separate lists."""
    trees, ids = _ints(call, "nodes_treeids"), _ints(call, "nodes_nodeids")
    kind = "class" if call.op_type == "TreeEnsembleClassifier" else "target"
    count = class_count(call) if kind == "class" else int(call.attr("n_targets", 1))
    place, modes = _Places(trees, ids), column(call.attributes, "nodes_modes")
    mode = np.zeros(0, np.int8) if modes is None else modes
    leaf, own = mode == LEAF, np.arange(mode.size, dtype=np.int32)
    # Leaves name children too, but these need not exist.
    yes, no = (
        np.where(leaf, own, place.of(trees, np.where(leaf, ids, _ints(call, f"nodes_{side}nodeids"))))
        for side in ("true", "false")
    )
    check_elements([mode.size, count], f"{call.op_type} node {call.name!r}")
    values, has_weight = np.zeros((mode.size, count)), np.zeros((mode.size, count), bool)
    where = place.of(_ints(call, f"{kind}_treeids"), _ints(call, f"{kind}_nodeids")), _ints(call, f"{kind}_ids")
    weights = _floats(call, f"{kind}_weights")
    first = np.full(mode.size, np.nan, weights.dtype)
    np.add.at(values, where, weights)
    has_weight[where] = True
    first[where[0][::-1]] = weights[::-1]
    if kind == "target" and count == 1:
        # Of several weights of a leaf for the only target, onnxruntime takes the first.
        values = np.where(has_weight, first[:, None], 0).astype(np.float64)
    values[~leaf], has_weight[~leaf] = 0, False
    return Forest(
        roots=np.unique(trees, return_index=True)[1],
        feature=_ints(call, "nodes_featureids"),
        mode=mode,
        threshold=_floats(call, "nodes_values"),
        yes=yes,
        no=no,
        missing=_flags(call, mode.size) & ~leaf,
        values=values,
        has_weight=has_weight,
        hit_rates=_rates(_floats(call, "nodes_hitrates"), mode.size),
        aggregate=aggregate_of(call),
        base=numbers(call, "base_values"),
        first=first,
        whole=np.zeros(mode.size, bool),
    )


def _of_trees(call: Call) -> Forest:
    """Read a `TreeEnsemble`, whose inner nodes and leaves are in two tables: here the leaves follow the inner nodes."""
    modes, weights = column(call.attributes, "nodes_modes"), _floats(call, "leaf_weights")
    assert modes is not None, "the schema requires modes"
    nodes, leaves, count = modes.size, weights.size, int(call.attr("n_targets"))
    yes, no = (
        (_ints(call, f"nodes_{side}nodeids") + nodes * (_ints(call, f"nodes_{side}leafs") != 0)).astype(np.int32)
        for side in ("true", "false")
    )
    own = np.arange(nodes, nodes + leaves, dtype=np.int32)
    check_elements([nodes + leaves, count], f"{call.op_type} node {call.name!r}")
    values, has_weight = np.zeros((nodes + leaves, count)), np.zeros((nodes + leaves, count), bool)
    values[own, _ints(call, "leaf_targetids")] = weights
    has_weight[own, _ints(call, "leaf_targetids")] = True
    splits, nothing = _floats(call, "nodes_splits"), np.zeros(leaves, np.int8)
    return Forest(
        roots=_ints(call, "tree_roots"),
        feature=np.concatenate([_ints(call, "nodes_featureids"), nothing]),
        mode=np.concatenate([modes.astype(np.int8), nothing + LEAF]),
        threshold=np.concatenate([splits, nothing.astype(splits.dtype)]),
        yes=np.concatenate([yes, own]),
        no=np.concatenate([no, own]),
        missing=np.concatenate([_flags(call, nodes), nothing != 0]),
        values=values,
        has_weight=has_weight,
        hit_rates=_rates(_floats(call, "nodes_hitrates"), nodes + leaves),
        aggregate=aggregate_of(call),
        base=np.zeros(0),
        first=np.concatenate([np.full(nodes, np.nan, weights.dtype), weights]),
        whole=np.zeros(nodes + leaves, bool),
    )


class _Places:
    """The index of each node in the attributes' lists, by the number of its tree and its own number."""

    def __init__(self, trees: Array, ids: Array) -> None:
        self.width = int(ids.max(initial=0)) + 1
        keys = trees.astype(np.int64) * self.width + ids
        self.order = np.argsort(keys, kind="stable").astype(np.int32)
        self.keys = keys[self.order]

    def of(self, trees: Array, ids: Array) -> Array:
        """Return the indices of nodes; raises InvalidModelError where one does not exist."""
        wanted = trees.astype(np.int64) * self.width + ids
        at = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        if wanted.size and ((ids < 0) | (ids >= self.width) | (self.keys[at] != wanted)).any():
            raise InvalidModelError("a tree of the ensemble names a node that it does not have")
        return self.order[at]


def _flags(call: Call, size: int) -> Array:
    flags = _ints(call, "nodes_missing_value_tracks_true") != 0
    return flags if flags.size == size else np.zeros(size, bool)


def _rates(hit_rates: Array, size: int) -> Array:
    """Extend the rates of the first nodes to all nodes, NaN for the rest."""
    return np.concatenate([hit_rates, np.full(max(size - hit_rates.size, 0), np.nan, hit_rates.dtype)])[:size]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
