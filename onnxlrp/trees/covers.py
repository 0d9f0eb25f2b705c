"""Covers that the caller gives: the number of training samples that reached each node of a tree ensemble.

ONNX files rarely hold them, and the expectation of a node then follows from a grid of the thresholds. Where the trained
model still knows them, they are stored as the nodes' hit rates, which is ONNX's own attribute for them:

```python
explained = onnxlrp.convert(onnxlrp.with_covers(model, onnxlrp.covers_of(forest)))
```
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.trees.ensemble_attributes import unmerged_forest
from onnxlrp.trees.forest import LEAF, MODES, Array, Forest
from onnxlrp.trees.trainer_covers import TreeCovers, one_table

_OPERATORS = ("TreeEnsemble", "TreeEnsembleRegressor", "TreeEnsembleClassifier")
Covers = Sequence[Sequence[float] | Mapping[int, float] | np.ndarray] | Sequence[TreeCovers]
_EQUALITIES = [MODES.index(name) for name in ("BRANCH_EQ", "BRANCH_NEQ")]
_TURNED = [MODES.index(name) for name in ("BRANCH_GTE", "BRANCH_GT", "BRANCH_NEQ")]
"""Comparisons whose true branch is the trainer's high child."""


def with_covers(model: onnx.ModelProto, covers: Covers, node: str | None = None) -> onnx.ModelProto:
    """Return a copy of the model whose tree ensembles know how many training samples reached each node.

    Parameters
    ----------
    model
        The model; it is not changed.
    covers
        For each tree, in the order in which the model lists them, the number of samples at each node: what
        `onnxlrp.covers_of` reads from the trained model, whose trees are matched node by node; or, for
        TreeEnsembleRegressor and TreeEnsembleClassifier, a sequence or an array by node number, or a mapping from it.
        TreeEnsemble has no place for the counts of leaves: comparisons between two leaves keep the grid's share.
    node
        The name of the ensemble's node. Default: all ensembles, in the order of the nodes, or in the order of their
        numbers where their names differ in numbers alone.

    Raises
    ------
    InputError
        The model has no such ensemble, or the covers do not fit its trees; the message names the first difference.

    Examples
    --------
    ```python
    import onnx

    # scikit-learn: covers = onnxlrp.covers_of(forest)
    model = onnxlrp.with_covers(onnx.load("forest.onnx"), covers=[[10, 6, 4]])
    explained = onnxlrp.convert(model)
    ```
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    ensembles = _in_order([n for n in copy.graph.node if n.op_type in _OPERATORS and node in (None, n.name)])
    if not ensembles:
        raise InputError(
            "covers are for tree ensembles; the model has none" + ("" if node is None else f" named {node!r}")
        )
    trees = [unmerged_forest(_call(n)) for n in ensembles]
    count = sum(t.roots.size for t in trees)
    if count != len(covers):
        raise InputError(f"covers: {len(covers)} trees are given, but the model has {count}")
    given = list(covers)
    for ensemble, forest in zip(ensembles, trees, strict=True):
        own, given = given[: forest.roots.size], given[forest.roots.size :]
        _store(ensemble, _rates(ensemble, forest, own))
    return copy


def _in_order(nodes: Sequence[onnx.NodeProto]) -> Sequence[onnx.NodeProto]:
    """Put nodes that are numbered in their names in the order of the numbers: skl2onnx writes `sample10` before
    `sample2`."""
    if len({re.sub(r"\d+", "", node.name) for node in nodes}) > 1:
        return nodes
    return sorted(nodes, key=lambda node: [int(number) for number in re.findall(r"\d+", node.name)])


def _call(node: onnx.NodeProto) -> Call:
    inputs = [helper.make_empty_tensor_value_info(name) for name in node.input]
    (alone,) = ir.serde.deserialize_graph(helper.make_graph([node], "ensemble", inputs, []))
    return Call.of(alone)


def _store(ensemble: onnx.NodeProto, rates: Array) -> None:
    """Replace the hit rates of an ensemble by the first of `rates`, [nodes], which are those of the nodes that its
    attributes list."""
    attributes = {a.name: a for a in ensemble.attribute}
    own = [a for a in ensemble.attribute if not a.name.startswith("nodes_hitrates")]
    if ensemble.op_type == "TreeEnsemble":
        size = math.prod(attributes["nodes_splits"].t.dims)
        told = numpy_helper.from_array(rates[:size].astype(np.float32), "nodes_hitrates")
        attribute = helper.make_attribute("nodes_hitrates", told)
    else:
        attribute = helper.make_attribute("nodes_hitrates", rates[: len(attributes["nodes_treeids"].ints)].tolist())
    del ensemble.attribute[:]
    ensemble.attribute.extend([*own, attribute])


def _rates(ensemble: onnx.NodeProto, trees: Forest, covers: Sequence[object]) -> Array:
    """Give each node of an ensemble its cover, [nodes]."""
    if all(isinstance(tree, TreeCovers) for tree in covers):
        return _matched(ensemble, trees, [tree for tree in covers if isinstance(tree, TreeCovers)])
    if ensemble.op_type == "TreeEnsemble":
        raise InputError(
            f"covers: the nodes of {ensemble.name!r}, a TreeEnsemble, have no numbers; give covers_of(model)"
        )
    given = {a.name: list(a.ints) for a in ensemble.attribute if a.name in ("nodes_treeids", "nodes_nodeids")}
    places = {tree: i for i, tree in enumerate(dict.fromkeys(given["nodes_treeids"]))}
    rates = []
    for tree, number in zip(given["nodes_treeids"], given["nodes_nodeids"], strict=True):
        try:
            rates.append(float(covers[places[tree]][number]))  # type: ignore[index]
        except (IndexError, KeyError) as e:
            raise InputError(f"covers: node {number} of tree {tree} has no cover") from e
    return np.array(rates)


def _matched(ensemble: onnx.NodeProto, trees: Forest, covers: Sequence[TreeCovers]) -> Array:
    """Match a file's trees with a trainer's, from the roots downward, since both number nodes in their own ways."""
    table, own = one_table(covers)
    file = trees.roots if ensemble.op_type == "TreeEnsemble" else np.sort(trees.roots)
    tree, weight, rates = np.arange(file.size), np.ones(file.size), np.zeros(trees.mode.size)
    while file.size:
        np.add.at(rates, file, weight * table.cover[own])
        for said, differs in _differences(trees, table, file, own):
            if differs.any():
                at = int(differs.argmax())
                where = f"tree {tree[at]} of {ensemble.op_type} {ensemble.name!r}"
                ours, theirs = _described(trees, int(file[at])), _described_own(table, int(own[at]))
                raise InputError(f"covers: {said} differs in {where}: {ours}, but the trainer's node {theirs}")
        inner = trees.mode[file] != LEAF
        file, own, tree, weight = file[inner], own[inner], tree[inner], weight[inner]
        turned = np.isin(trees.mode[file], _TURNED)
        low, high = np.where(turned, trees.no[file], trees.yes[file]), np.where(turned, trees.yes[file], trees.no[file])
        file, tree = np.concatenate([low, high]), np.concatenate([tree, tree])
        weight = np.concatenate([weight * table.part[own], weight])
        own = np.concatenate([table.low[own], table.high[own]])
    return rates


def _differences(trees: Forest, table: TreeCovers, file: Array, own: Array) -> list[tuple[str, Array]]:
    """Compare nodes of a file with a trainer's: returns each thing that may differ, by its name, with a mask of the
    nodes at which it does."""
    inner = trees.mode[file] != LEAF
    with np.errstate(over="ignore"):  # LightGBM parts missing rows from all others by a comparison with 1e300
        rounded = table.threshold[own].astype(np.float32)
    near = np.isclose(trees.threshold[file], rounded, rtol=1e-5, atol=1e-7)
    return [
        ("the kind of node", inner != (table.low[own] != own)),
        ("the feature", inner & (trees.feature[file] != table.feature[own])),
        ("the comparison", inner & (np.isin(trees.mode[file], _EQUALITIES) != table.is_equality[own])),
        ("the threshold", inner & ~near),
    ]


def _described(trees: Forest, node: int) -> str:
    if trees.mode[node] == LEAF:
        return f"node {node}, a leaf"
    return f"node {node}, {MODES[trees.mode[node]]} of feature {trees.feature[node]} and {trees.threshold[node]:.6g}"


def _described_own(table: TreeCovers, node: int) -> str:
    if table.low[node] == node:
        return "is a leaf"
    return f"compares feature {table.feature[node]} with {table.threshold[node]:.6g}"
