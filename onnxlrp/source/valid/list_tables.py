"""Check attributes that hold a table as lists of equal length, one for each column: the tree ensembles of
ai.onnx.ml."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from onnxlrp.source.valid.refusal import Refuse
from onnxlrp.trees.forest import MODES
from onnxlrp.trees.held_columns import HeldColumns

_NEEDED = (
    *("nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_modes", "nodes_values"),
    *("nodes_truenodeids", "nodes_falsenodeids"),
)
_LEAVES = ("treeids", "nodeids", "ids", "weights")
"""Columns that every ensemble has, although the schema allows them to be left out."""
_TABLES = ("nodes_", "target_", "class_")
_LABELS = ("classlabels_int64s", "classlabels_strings")
_FREE = ("nodes_hitrates", "nodes_missing_value_tracks_true")
"""Columns that runtimes read only if they are as long as the table."""


def check(node: onnx.NodeProto, refuse: Refuse, held: HeldColumns) -> None:
    """Raise the error that `refuse` makes if the columns of an ensemble's tables are not equally long."""
    if node.op_type not in ("TreeEnsembleRegressor", "TreeEnsembleClassifier"):
        return
    lengths = dict.fromkeys((*_NEEDED, *(f"{_role(node)}_{name}" for name in _LEAVES)), 0)
    lengths |= {a.name.removesuffix("_as_tensor"): held.length(a) for a in node.attribute}
    for table in _TABLES:
        own = {k: length for k, length in lengths.items() if k.startswith(table) and k not in _FREE}
        if len(set(own.values())) > 1:
            sizes = ", ".join(f"{k} {length}" for k, length in sorted(own.items()))
            raise refuse(f"the columns of its table {table}* have different lengths ({sizes})")
    if not lengths["nodes_treeids"]:
        raise refuse("it has no nodes")
    _check_values({a.name: a for a in node.attribute}, refuse, held)


def _check_values(given: Mapping[str, onnx.AttributeProto], refuse: Refuse, held: HeldColumns) -> None:
    # The modes of a held column were known when it was read.
    modes = () if held.of(given["nodes_modes"]) else given["nodes_modes"].strings
    strange = {mode.decode() for mode in set(modes)} - {*MODES, "LEAF"}
    if strange:
        raise refuse(f"its nodes_modes hold {', '.join(map(repr, sorted(strange)))}, which are not modes of nodes")
    count = max((len(given[name].ints) or len(given[name].strings) for name in _LABELS if name in given), default=0)
    if "target_ids" in given:
        count = given["n_targets"].i if "n_targets" in given else 0
        if count < 1:
            raise refuse("its n_targets is not 1 or more")
    for name in ("target_ids", "class_ids"):
        if name in given and not are_within(held.array(given[name]), count):
            raise refuse(f"its {name} are not all from 0 to {count - 1}")


def are_within(numbers: np.ndarray, count: int) -> bool:
    """Decide whether all numbers are from 0 to `count - 1`."""
    return not numbers.size or bool(numbers.min() >= 0 and numbers.max() < count)


def _role(node: onnx.NodeProto) -> str:
    return "class" if node.op_type == "TreeEnsembleClassifier" else "target"
