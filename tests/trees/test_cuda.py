"""Every node that is emitted for trees has a CUDA kernel by the table, in each game and each way of computing it."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import onnxlrp
from onnxlrp.composites import Auto
from onnxlrp.trees import by_quadrature, pattern_tables
from tests.emit.cuda_kernels import report
from tests.operators.draws.classical import MODES, Drawing, by_numbers, by_tables, samples, single

RNG = np.random.default_rng(8)
ROWS = samples(RNG, 6, missing=True)


def regressor(kind: int = TensorProto.FLOAT, **attributes: Any) -> onnx.ModelProto:
    drawn = Drawing(depth=3, modes=MODES, missing=True, targets=range(2)).forest(np.random.default_rng(1), 3)
    tables = by_numbers(drawn, "target", hit_rates=True, double=kind == TensorProto.DOUBLE)
    return single("TreeEnsembleRegressor", kind=kind, n_targets=2, **tables, **attributes)


def classifier(**attributes: Any) -> onnx.ModelProto:
    drawn = Drawing(depth=3, targets=(1,)).forest(np.random.default_rng(2), 3)
    labels = {"classlabels_int64s": [0, 1]}
    return single(
        "TreeEnsembleClassifier", label=TensorProto.INT64, **by_numbers(drawn, "class"), **labels, **attributes
    )


def sets() -> onnx.ModelProto:
    """Comparisons with sets of numbers, in the operator of ai.onnx.ml 5."""
    rng, drawing = np.random.default_rng(3), Drawing(depth=3, modes=(*MODES, "BRANCH_MEMBER"), missing=True)
    drawn = [tree for tree in drawing.forest(rng, 9) if tree.mode][:3]
    return single("TreeEnsemble", version=5, **by_tables(drawn, 1))


MODELS = {
    "regressor": regressor,
    "double": lambda: regressor(TensorProto.DOUBLE),
    "average": lambda: regressor(aggregate_function="AVERAGE"),
    "largest": lambda: regressor(aggregate_function="MAX"),
    "one score": lambda: classifier(post_transform="LOGISTIC"),
    "sets": sets,
}
WAYS: dict[str, dict[str, Any]] = {
    "tables": {},
    "quadrature": {"trees_table": False},
    "path": {"composite": Auto(trees="path")},
    "interventional": {"composite": Auto(trees="interventional"), "background": ROWS},
    "interventional, quadrature": {
        "composite": Auto(trees="interventional"),
        "background": ROWS,
        "trees_table": False,
    },
    "background": {"background": ROWS},
    "interactions": {"interactions": True},
    "several targets": {"targets": 2},
}


CASES = [(name, way) for name in MODELS for way in WAYS if (name, way) != ("largest", "interactions")]
"""The largest of several trees is explained along its path, which has no interactions."""


@pytest.mark.parametrize(("name", "way"), CASES)
def test_every_node_has_a_kernel(monkeypatch, name, way):
    """Parts and chunks are as small as they can be, so that the loops over them are emitted."""
    monkeypatch.setattr(by_quadrature, "_PART", 8)
    for module in (by_quadrature, pattern_tables):
        monkeypatch.setattr(module, "CHUNK", 1)
        monkeypatch.setattr(module, "UNCHUNKED", 1)
    report(onnxlrp.convert(MODELS[name](), **WAYS[way]).to_proto())
