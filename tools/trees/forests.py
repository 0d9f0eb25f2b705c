"""Large forests, drawn at random in the shape in which LightGBM grows trees, and written as converters write them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = 60
_BINS = 255
"""Different thresholds of a feature, as many as LightGBM's histograms have by default."""
_ML = "ai.onnx.ml"
_FLOAT = helper.make_tensor_type_proto(TensorProto.FLOAT, [])


@dataclasses.dataclass
class Grown:
    """Trees of equal size; all arrays are [trees, nodes]."""

    feature: np.ndarray
    threshold: np.ndarray
    yes: np.ndarray
    """Number of the true child within its tree; 0 for leaves."""
    no: np.ndarray
    is_leaf: np.ndarray
    weight: np.ndarray


def grow(trees: int, leaves: int, seed: int = 0) -> Grown:
    """Split leaf by leaf, one of the latest ones more often than not, so that trees are deep on one side.

    The two children of the k-th split get the numbers 2k + 1 and 2k + 2.
    """
    rng, every = np.random.default_rng(seed), np.arange(trees)
    size = 2 * leaves - 1
    yes, no = (np.zeros((trees, size), np.int64) for _ in range(2))
    open_leaves = np.zeros((trees, leaves), np.int64)
    for split in range(leaves - 1):
        place = (rng.beta(1.5, 1, trees) * (split + 1)).astype(np.int64)
        node = open_leaves[every, place]
        yes[every, node], no[every, node] = 2 * split + 1, 2 * split + 2
        open_leaves[every, place], open_leaves[:, split + 1] = 2 * split + 1, 2 * split + 2
    is_leaf = yes == 0
    feature = np.where(is_leaf, 0, rng.integers(0, FEATURES, (trees, size)))
    bins = np.sort(rng.normal(size=(FEATURES, _BINS)).astype(np.float32), axis=1)
    threshold = np.where(is_leaf, 0, bins[feature, rng.integers(0, _BINS, (trees, size))])
    weight = (rng.normal(size=(trees, size)) / trees**0.5).astype(np.float32)
    return Grown(feature, threshold.astype(np.float32), yes, no, is_leaf, np.where(is_leaf, weight, 0))


def as_regressor(grown: Grown, categories: bool = False) -> onnx.ModelProto:
    """Write a TreeEnsembleRegressor as onnxmltools writes it for LightGBM: every column is a list.

    With `categories` every comparison is one with a small whole number.
    """
    trees, size = grown.feature.shape
    tree, number = np.repeat(np.arange(trees), size), np.tile(np.arange(size), trees)
    leaf, split = grown.is_leaf.reshape(-1), "BRANCH_EQ" if categories else "BRANCH_LEQ"
    modes = np.where(leaf, "LEAF", split).tolist()
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], "forest", domain=_ML, n_targets=1)
    for name, column in (
        ("nodes_treeids", tree),
        ("nodes_nodeids", number),
        ("nodes_featureids", grown.feature),
        ("nodes_truenodeids", grown.yes),
        ("nodes_falsenodeids", grown.no),
        ("nodes_missing_value_tracks_true", np.zeros(tree.size, np.int64)),
        ("nodes_values", np.abs(grown.threshold * 10).round() if categories else grown.threshold),
        ("nodes_hitrates", np.ones(tree.size, np.float32)),
        ("target_treeids", tree[leaf]),
        ("target_nodeids", number[leaf]),
        ("target_ids", np.zeros(int(leaf.sum()), np.int64)),
        ("target_weights", grown.weight.reshape(-1)[leaf]),
    ):
        is_float = column.dtype.kind == "f"
        attribute = node.attribute.add(name=name, type=onnx.AttributeProto.FLOATS if is_float else 7)
        (attribute.floats if is_float else attribute.ints).extend(column.reshape(-1).tolist())
    node.attribute.add(name="nodes_modes", type=onnx.AttributeProto.STRINGS).strings.extend(m.encode() for m in modes)
    return _model(node, 3)


def as_classifier(grown: Grown) -> onnx.ModelProto:
    """Write a TreeEnsembleClassifier of two classes as onnxmltools writes it for LightGBM: one score, its logistic, and
    a ZipMap."""
    model = as_regressor(grown)
    graph, (node,) = model.graph, model.graph.node
    for attribute in node.attribute:
        attribute.name = attribute.name.replace("target_", "class_")
    kept = [attribute for attribute in node.attribute if attribute.name != "n_targets"]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(helper.make_attribute("classlabels_int64s", [0, 1]))
    node.attribute.append(helper.make_attribute("post_transform", "LOGISTIC"))
    node.op_type, node.output[:] = "TreeEnsembleClassifier", ["label", "scores"]
    graph.node.append(helper.make_node("ZipMap", ["scores"], ["probabilities"], domain=_ML, classlabels_int64s=[0, 1]))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]))
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, _FLOAT))
    graph.output.append(helper.make_value_info("probabilities", kind))
    return model


def as_ensemble(grown: Grown) -> onnx.ModelProto:
    """Write a TreeEnsemble of ai.onnx.ml 5, whose thresholds and weights are tensors."""
    trees, size = grown.feature.shape
    leaf = grown.is_leaf.reshape(-1)
    row = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
    first = (np.arange(trees) * size)[:, None]
    children = {side: (first + child).reshape(-1)[~leaf] for side, child in (("true", grown.yes), ("false", grown.no))}
    node = helper.make_node("TreeEnsemble", ["x"], ["y"], "forest", domain=_ML, n_targets=1)
    for name, column in (
        ("tree_roots", row[first[:, 0]]),
        ("nodes_featureids", grown.feature.reshape(-1)[~leaf]),
        *((f"nodes_{side}nodeids", row[child]) for side, child in children.items()),
        *((f"nodes_{side}leafs", leaf[child].astype(np.int64)) for side, child in children.items()),
        ("leaf_targetids", np.zeros(int(leaf.sum()), np.int64)),
    ):
        node.attribute.add(name=name, type=onnx.AttributeProto.INTS).ints.extend(column.tolist())
    for name, tensor in (
        ("nodes_modes", np.zeros(int((~leaf).sum()), np.uint8)),
        ("nodes_splits", grown.threshold.reshape(-1)[~leaf]),
        ("leaf_weights", grown.weight.reshape(-1)[leaf]),
    ):
        node.attribute.append(helper.make_attribute(name, numpy_helper.from_array(tensor, name)))
    return _model(node, 5)


def _model(node: onnx.NodeProto, version: int) -> onnx.ModelProto:
    graph = onnx.GraphProto(name="forest")
    graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", FEATURES]))
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1]))
    graph.node.add().CopyFrom(node)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(_ML, version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


WRITERS: dict[str, Callable[[Grown], onnx.ModelProto]] = {
    "lists": as_regressor,
    "classifier": as_classifier,
    "categories": lambda grown: as_regressor(grown, categories=True),
    "tensors": as_ensemble,
}
"""Ways to write a forest, by name."""
