"""Functions of the output of a single tree: each is a tree with other leaf values, and a sum of them is a forest."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import Reversed, custom, find
from onnxlrp.operators.shape_functions import set_like
from onnxlrp.trees.base_scores import base_scores
from onnxlrp.trees.forest import LEAF, MODES, Forest

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

_REGRESSOR = "TreeEnsembleRegressor"


def _base(call: Call) -> np.ndarray | None:
    base = base_scores(as_ensemble(call))
    return base[:, 0] if base is not None and call.rank(0) == 1 else base


@custom(
    "LeafFunction",
    domain=DEPLOYED,
    operands=lambda call: (1,),
    receives="factor",
    base=_base,
    interacts=True,
    piecewise_constant=True,
    inference=set_like,
)
def leaf_function(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
    """Relevance goes to the features as in the trees whose leaves hold the values of the function."""
    flat, tree = call.rank(0) == 1, as_ensemble(call)
    entry = find(tree)
    assert entry is not None
    back: Reversed = entry.function(op, tree, op.Unsqueeze(c, op.ints([1])) if flat else c, gradient)
    return dataclasses.replace(back, amounts={1: back.amounts[0]})


def as_ensemble(call: Call) -> Call:
    """Describe a LeafFunction as the regressor that it is explained as; any other call is returned unchanged."""
    if (call.domain, call.op_type) != (DEPLOYED, "LeafFunction"):
        return call
    x = call.original[1]
    return Call(_REGRESSOR, "ai.onnx.ml", 3, call.attributes, (x,), call.outputs, call.name, (x,))


def as_regressor(trees: Sequence[tuple[Forest, np.ndarray]]) -> list[ir.Attr]:
    """Build the attributes of a TreeEnsembleRegressor that adds up trees, each with leaf values [leaves, targets]."""
    count = trees[0][1].shape[1]
    lists: dict[str, list[int]] = {}
    tensors: dict[str, list[float]] = {}
    modes: list[str] = []
    for number, (tree, values) in enumerate(trees):
        leaves, nodes = np.flatnonzero(tree.mode == LEAF), np.arange(tree.mode.size)
        modes += ["LEAF" if m == LEAF else MODES[m] for m in tree.mode]
        ints = {
            "nodes_treeids": nodes * 0 + number,
            "nodes_nodeids": nodes,
            "nodes_featureids": tree.feature,
            "nodes_truenodeids": tree.yes,
            "nodes_falsenodeids": tree.no,
            "nodes_missing_value_tracks_true": tree.missing,
            "target_treeids": np.repeat(leaves, count) * 0 + number,
            "target_nodeids": np.repeat(leaves, count),
            "target_ids": np.tile(np.arange(count), leaves.size),
        }
        floats = {
            "nodes_values": tree.threshold,
            "target_weights": values.reshape(-1),
            "nodes_hitrates": tree.hit_rates,
        }
        for name, array in ints.items():
            lists.setdefault(name, []).extend(map(int, array))
        for name, array in floats.items():
            tensors.setdefault(f"{name}_as_tensor", []).extend(map(float, array))
    return [
        ir.AttrInt64("n_targets", count),
        ir.AttrStrings("nodes_modes", modes),
        *(ir.AttrInt64s(name, ints) for name, ints in lists.items()),
        *(ir.AttrTensor(name, ir.tensor(np.array(floats, np.float64))) for name, floats in tensors.items()),
    ]
