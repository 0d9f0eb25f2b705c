"""Tree ensembles as arrays: what the attributes of ai.onnx.ml's tree operators say, and every node's expectation."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.memory import check_elements
from onnxlrp.operators.registry import Call

Array = np.ndarray
LEAF = -1
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""How a node compares, by its number in `TreeEnsemble`."""
_EQUAL, _MEMBER = 4, 6
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


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
    """Whether a NaN goes where a true comparison goes."""
    values: Array
    """[nodes, targets], float64: what a leaf adds to a target."""
    scored: Array
    """[nodes, targets]: whether a leaf says anything of a target."""
    rates: Array
    """How many samples came by, or how often; NaN where nothing is said."""
    aggregate: str
    base: Array
    """What the base values say, as they stand."""
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
        """What the sums of the trees are multiplied by."""
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
        """Of each node the part of its samples that a true comparison takes: one half where the rates say nothing."""
        if self.known_share is not None:
            return self.known_share
        known = self.rates[np.isfinite(self.rates)]
        share = np.full(self.mode.size, 0.5)
        if known.size == 0 or (known == known[0]).all():
            return share
        own, yes, no = self.rates, self.rates[self.yes], self.rates[self.no]
        # What is said of one child alone leaves the rest of the parent's for the other.
        yes, no = np.where(np.isnan(yes), own - no, yes), np.where(np.isnan(no), own - yes, no)
        with np.errstate(invalid="ignore", divide="ignore"):
            part = yes / (yes + no)
        said = (self.mode != LEAF) & (yes >= 0) & (no >= 0) & np.isfinite(part) & (self.yes != self.no)
        return np.where(said, part, share)


def forest(call: Call) -> Forest:
    """The ensemble that a call of TreeEnsemble, TreeEnsembleRegressor or TreeEnsembleClassifier names."""
    found = _of_trees(call) if call.op_type == "TreeEnsemble" else _of_nodes(call)
    return _without_members(found, _sets(call)) if (found.mode == _MEMBER).any() else found


def lighten(node: ir.Node) -> None:
    """Take from a tree operator what no runtime reads: how often its nodes were reached, which the tables beside it
    have taken in, and flags of missing values none of which is set."""
    if node.domain != "ai.onnx.ml" or not node.op_type.startswith("TreeEnsemble"):
        return
    unread = ["nodes_hitrates", "nodes_hitrates_as_tensor"]
    flags = node.attributes.get("nodes_missing_value_tracks_true")
    if flags is not None and not any(flags.as_ints()):
        unread.append(flags.name)
    for name in unread:
        node.attributes.pop(name, None)


def class_count(call: Call) -> int:
    """The number of classes of a classifier."""
    return max(len(call.attr(name, ())) for name in ("classlabels_strings", "classlabels_int64s"))


def numbers(call: Call, name: str, default: Any = ()) -> Array:
    """An attribute that is a list of floats, or a tensor under the same name with `_as_tensor` behind it."""
    tensor = call.attr(f"{name}_as_tensor")
    return np.asarray(call.attr(name, default) if tensor is None else tensor.numpy(), np.float64).reshape(-1)


def _ints(call: Call, name: str) -> Array:
    return np.asarray(call.attr(name, ()), np.int64).reshape(-1)


def _of_nodes(call: Call) -> Forest:
    """A regressor or classifier: nodes by the numbers of their trees and their own, leaves' weights in lists beside."""
    trees, ids = _ints(call, "nodes_treeids"), _ints(call, "nodes_nodeids")
    kind = "class" if call.op_type == "TreeEnsembleClassifier" else "target"
    count = class_count(call) if kind == "class" else int(call.attr("n_targets", 1))
    place = _Places(trees, ids)
    known = {name: number for number, name in enumerate(MODES)}
    mode = np.array([known.get(_text(m), LEAF) for m in call.attr("nodes_modes", ())], np.int64)
    leaf, own = mode == LEAF, np.arange(mode.size)
    # The children that leaves name are no nodes.
    yes, no = (
        np.where(leaf, own, place.of(trees, np.where(leaf, ids, _ints(call, f"nodes_{side}nodeids"))))
        for side in ("true", "false")
    )
    check_elements([mode.size, count], f"{call.op_type} node {call.name!r}")
    values, scored = np.zeros((mode.size, count)), np.zeros((mode.size, count), bool)
    where = place.of(_ints(call, f"{kind}_treeids"), _ints(call, f"{kind}_nodeids")), _ints(call, f"{kind}_ids")
    np.add.at(values, where, numbers(call, f"{kind}_weights"))
    scored[where] = True
    return Forest(
        roots=np.unique(trees, return_index=True)[1],
        feature=np.where(leaf, 0, _ints(call, "nodes_featureids")),
        mode=mode,
        threshold=numbers(call, "nodes_values"),
        yes=yes,
        no=no,
        missing=_flags(call, mode.size) & ~leaf,
        values=np.where(leaf[:, None], values, 0),
        scored=scored & leaf[:, None],
        rates=_rates(numbers(call, "nodes_hitrates"), mode.size),
        aggregate=_text(call.attr("aggregate_function", "SUM")),
        base=numbers(call, "base_values"),
    )


def _of_trees(call: Call) -> Forest:
    """`TreeEnsemble`: inner nodes and leaves in tables of their own; the leaves come behind the nodes here."""
    mode = call.attr("nodes_modes").numpy().astype(np.int64)
    nodes, weights = mode.size, call.attr("leaf_weights").numpy().astype(np.float64)
    leaves, count = weights.size, int(call.attr("n_targets"))
    yes, no = (
        _ints(call, f"nodes_{side}nodeids") + nodes * (_ints(call, f"nodes_{side}leafs") != 0)
        for side in ("true", "false")
    )
    own = np.arange(nodes, nodes + leaves)
    check_elements([nodes + leaves, count], f"{call.op_type} node {call.name!r}")
    values, scored = np.zeros((nodes + leaves, count)), np.zeros((nodes + leaves, count), bool)
    values[own, _ints(call, "leaf_targetids")] = weights
    scored[own, _ints(call, "leaf_targetids")] = True
    rates = call.attr("nodes_hitrates")
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
        scored=scored,
        rates=_rates(np.zeros(0) if rates is None else rates.numpy().reshape(-1), nodes + leaves),
        aggregate=_AGGREGATES[int(call.attr("aggregate_function", 1))],
        base=np.zeros(0),
    )


class _Places:
    """Where a node, named by its tree and its number, stands in the lists."""

    def __init__(self, trees: Array, ids: Array) -> None:
        self.width = int(ids.max(initial=0)) + 1
        keys = trees * self.width + ids
        self.order = np.argsort(keys, kind="stable")
        self.keys = keys[self.order]

    def of(self, trees: Array, ids: Array) -> Array:
        """Indices of nodes; raises InvalidModelError where there is none."""
        wanted = trees * self.width + ids
        at = np.minimum(np.searchsorted(self.keys, wanted), self.keys.size - 1)
        if wanted.size and ((ids < 0) | (ids >= self.width) | (self.keys[at] != wanted)).any():
            raise InvalidModelError("a tree of the ensemble names a node that it does not have")
        return self.order[at]


def _flags(call: Call, size: int) -> Array:
    flags = _ints(call, "nodes_missing_value_tracks_true") != 0
    return flags if flags.size == size else np.zeros(size, bool)


def _rates(rates: Array, size: int) -> Array:
    """Rates of the first nodes; nothing is said of the others."""
    return np.concatenate([rates, np.full(max(size - rates.size, 0), np.nan)])[:size].astype(np.float64)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _sets(call: Call) -> list[Array]:
    """The sets of the nodes that ask for membership, in their order: each ends with a NaN."""
    values = call.attr("membership_values")
    flat = np.zeros(0) if values is None else values.numpy().astype(np.float64)
    return [part[~np.isnan(part)] for part in np.split(flat, np.flatnonzero(np.isnan(flat)) + 1)]


def _without_members(found: Forest, sets: list[Array]) -> Forest:
    """`x in {a, b}` as `x = a, else x = b`: a chain of nodes, each with the first one's expectation. That is the last
    one's, of which the others take all."""
    found = dataclasses.replace(found, known_share=found.share)
    members = np.flatnonzero(found.mode == _MEMBER)
    table = {f.name: list(getattr(found, f.name)) for f in dataclasses.fields(found) if f.name not in _WHOLE}
    for node, members_of in zip(members, sets, strict=False):
        last = table["no"][node]
        chain = [node, *range(len(table["mode"]), len(table["mode"]) + len(members_of) - 1)]
        for column in table.values():
            column.extend(column[node] for _ in chain[1:])
        for i, (at, number) in enumerate(zip(chain, members_of, strict=False)):
            table["mode"][at], table["threshold"][at] = _EQUAL, number
            if i + 1 < len(chain):
                table["no"][at], table["known_share"][at] = chain[i + 1], 0.0
            else:
                table["no"][at] = last
        if not len(members_of):
            table["mode"][node], table["threshold"][node] = _EQUAL, np.inf
            table["yes"][node] = last
    arrays: dict[str, Any] = {name: np.asarray(column) for name, column in table.items()}
    return dataclasses.replace(found, **arrays)


_WHOLE = ("roots", "aggregate", "base")
