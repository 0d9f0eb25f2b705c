"""What an explained forest file holds beside the source's own nodes."""

from __future__ import annotations

import numpy as np
import onnx

import onnxlrp


def test_tables_are_kept_small():
    """What stands beside a forest of 200 trees of 127 nodes: whole numbers of one or two bytes, floats once each."""
    rng = np.random.default_rng(3)
    trees, size = 200, 127
    inner = np.arange(size) < size // 2
    per_tree = {
        "nodes_nodeids": np.arange(size),
        "nodes_featureids": rng.integers(0, 30, size) * inner,
        "nodes_truenodeids": np.where(inner, 2 * np.arange(size) + 1, 0),
        "nodes_falsenodeids": np.where(inner, 2 * np.arange(size) + 2, 0),
    }
    leaves = np.flatnonzero(~inner)
    attributes = {name: np.tile(column, trees).tolist() for name, column in per_tree.items()}
    attributes |= {
        "nodes_treeids": np.repeat(np.arange(trees), size).tolist(),
        "nodes_modes": ["BRANCH_LEQ" if i else "LEAF" for i in inner] * trees,
        "nodes_values": rng.normal(size=trees * size).astype(np.float32).tolist(),
        "target_treeids": np.repeat(np.arange(trees), leaves.size).tolist(),
        "target_nodeids": np.tile(leaves, trees).tolist(),
        "target_ids": [0] * trees * leaves.size,
        "target_weights": rng.normal(size=trees * leaves.size).astype(np.float32).tolist(),
        "n_targets": 1,
    }
    node = onnx.helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    graph = onnx.helper.make_graph(
        [node],
        "forest",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 30])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 1])],
    )
    opsets = [onnx.helper.make_opsetid("", 21), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    explained = onnxlrp.convert(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), "epsilon")
    tables = sum(len(t.raw_data) for t in explained.to_proto().graph.initializer)
    assert tables < 13 * trees * size
    explanation = onnxlrp.Explainer(explained)({"x": rng.normal(size=(4, 30)).astype(np.float32)})
    assert np.isfinite(explanation.relevance["x"]).all()
