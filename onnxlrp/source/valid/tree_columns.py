"""Check the tables of ai.onnx.ml's TreeEnsemble: all columns of a table are equally long, and references name existing
rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from onnxlrp.source.valid.list_tables import are_within
from onnxlrp.source.valid.refusal import Refuse
from onnxlrp.trees.forest import MODES
from onnxlrp.trees.held_columns import HeldColumns

_NODES = (
    *("nodes_featureids", "nodes_splits", "nodes_truenodeids", "nodes_trueleafs"),
    *("nodes_falsenodeids", "nodes_falseleafs"),
)
_OPTIONAL = ("nodes_hitrates", "nodes_missing_value_tracks_true")


def check(node: onnx.NodeProto, refuse: Refuse, held: HeldColumns) -> None:
    """Raise the error that `refuse` makes if a column is not as long as its table, or names a row that does not
    exist."""
    if (node.op_type, node.domain) != ("TreeEnsemble", "ai.onnx.ml"):
        return
    given = {a.name: a for a in node.attribute}
    nodes, leaves = (held.length(given[name]) for name in ("nodes_modes", "leaf_weights"))
    optional = tuple(name for name in _OPTIONAL if name in given and held.length(given[name]))
    for name, rows in (*((name, nodes) for name in (*_NODES, *optional)), ("leaf_targetids", leaves)):
        there = held.length(given[name])
        if there != rows:
            raise refuse(f"the length of its {name} is {there:,}, and its table has {rows:,} rows")
    columns = {name: held.array(given[name]) for name in ("tree_roots", "leaf_targetids")}
    _check_rows("tree_roots", columns["tree_roots"], nodes, refuse)
    _check_rows("leaf_targetids", columns["leaf_targetids"], _targets(given), refuse)
    for side in ("true", "false"):
        rows_of, is_leaf = (held.array(given[f"nodes_{side}{what}"]) for what in ("nodeids", "leafs"))
        _check_rows(f"nodes_{side}nodeids", rows_of[is_leaf != 0], leaves, refuse)
        _check_rows(f"nodes_{side}nodeids", rows_of[is_leaf == 0], nodes, refuse)
    _check_modes(given["nodes_modes"], refuse, held)


def _targets(given: Mapping[str, onnx.AttributeProto]) -> int:
    return given["n_targets"].i if "n_targets" in given else 0


def _check_rows(name: str, numbers: np.ndarray, rows: int, refuse: Refuse) -> None:
    if not are_within(numbers, rows):
        raise refuse(f"its {name} are not all from 0 to {rows - 1:,}")


def _check_modes(modes: onnx.AttributeProto, refuse: Refuse, held: HeldColumns) -> None:
    """Raise an error if a mode has no name. Modes of another type are left to ONNX's own inference, which refuses
    them, and files beside the model are not read."""
    is_read = modes.t.data_location != onnx.TensorProto.EXTERNAL and modes.t.data_type == onnx.TensorProto.UINT8
    if is_read and not are_within(held.array(modes), len(MODES)):
        raise refuse(f"its nodes_modes are not all from 0 to {len(MODES) - 1}")
