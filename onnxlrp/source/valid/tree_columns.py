"""Check the tables of ai.onnx.ml's TreeEnsemble: all columns of a table are equally long, and references name existing
rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import onnx

from onnxlrp.source.valid.refusal import Refuse

_NODES = (
    *("nodes_featureids", "nodes_splits", "nodes_truenodeids", "nodes_trueleafs"),
    *("nodes_falsenodeids", "nodes_falseleafs"),
)
_Given = Mapping[str, onnx.AttributeProto]


def check(node: onnx.NodeProto, refuse: Refuse) -> None:
    """Raise the error that `refuse` makes if a column is not as long as its table, or names a row that does not
    exist."""
    if (node.op_type, node.domain) != ("TreeEnsemble", "ai.onnx.ml"):
        return
    given = {a.name: a for a in node.attribute}
    nodes, leaves = math.prod(given["nodes_modes"].t.dims), math.prod(given["leaf_weights"].t.dims)
    for name, rows in (*((name, nodes) for name in _NODES), ("leaf_targetids", leaves)):
        there = math.prod(given[name].t.dims) if given[name].HasField("t") else len(given[name].ints)
        if there != rows:
            raise refuse(f"the length of its {name} is {there:,}, and its table has {rows:,} rows")
    _check_rows("tree_roots", given["tree_roots"].ints, nodes, refuse)
    _check_rows("leaf_targetids", given["leaf_targetids"].ints, _targets(given), refuse)
    for side in ("true", "false"):
        pairs = list(zip(given[f"nodes_{side}nodeids"].ints, given[f"nodes_{side}leafs"].ints, strict=True))
        _check_rows(f"nodes_{side}nodeids", (i for i, is_leaf in pairs if is_leaf), leaves, refuse)
        _check_rows(f"nodes_{side}nodeids", (i for i, is_leaf in pairs if not is_leaf), nodes, refuse)


def _targets(given: _Given) -> int:
    return given["n_targets"].i if "n_targets" in given else 0


def _check_rows(name: str, numbers: Iterable[int], rows: int, refuse: Refuse) -> None:
    if not all(0 <= number < rows for number in numbers):
        raise refuse(f"its {name} are not all from 0 to {rows - 1:,}")
