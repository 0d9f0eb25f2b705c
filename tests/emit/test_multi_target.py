"""Several targets in one run: also where relevance does not depend on the target."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from tests.source.nets import info, model

STUMP = {
    "nodes_treeids": [0] * 3,
    "nodes_nodeids": [0, 1, 2],
    "nodes_featureids": [1, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
    "nodes_values": [0.5, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0],
    "nodes_hitrates": [2.0, 1.0, 1.0],
    "target_treeids": [0] * 4,
    "target_nodeids": [1, 1, 2, 2],
    "target_ids": [0, 1, 0, 1],
    "target_weights": [1.0, 2.0, 5.0, 3.0],
}
FEEDS = {"x": np.array([[0, 1], [2, 0]], np.float32), "z": np.array([[1, 2], [3, 4]], np.float32)}


def _forest(dense: bool) -> onnx.ModelProto:
    """A tree on x, whose gradient is 0 for every score, and perhaps a product of z that is added to it."""
    tree = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["tree"],
        "tree",
        domain="ai.onnx.ml",
        n_targets=2,
        post_transform="NONE",
        **STUMP,
    )
    product = [helper.make_node("MatMul", ["z", "w"], ["dense"]), helper.make_node("Add", ["tree", "dense"], ["y"])]
    single = [helper.make_node("Identity", ["tree"], ["y"])]
    inputs = [info("x", ["N", 2]), *([info("z", ["N", 2])] if dense else [])]
    weights = {"w": np.array([[1, 2], [3, 4]], np.float32)}
    opsets = [helper.make_opsetid("ai.onnx.ml", 3)]
    nodes = [tree, *(product if dense else single)]
    return model(nodes, inputs, [info("y", ["N", 2])], weights if dense else {}, opsets=opsets)


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")  # a gradient of 0
@pytest.mark.parametrize("options", [{}, {"on_demand": True}, {"profile": "portable"}, {"reduce": {"x": "top=1"}}])
@pytest.mark.parametrize("composite", ["gradient", "smooth_grad(samples=2)", "epsilon"])
@pytest.mark.parametrize("dense", [False, True])
def test_relevance_that_is_the_same_for_every_target(dense, composite, options):
    feeds = dict(list(FEEDS.items())[: 1 + dense])
    both = onnxlrp.Explainer(onnxlrp.convert(_forest(dense), composite, targets=2, **options))
    one = onnxlrp.Explainer(onnxlrp.convert(_forest(dense), composite, **options))
    found = both(feeds, target=[1, 0])
    for place, target in enumerate((1, 0)):
        for name, relevance in one(feeds, target=target).relevance.items():
            np.testing.assert_allclose(found.relevance[name][:, place], relevance, rtol=1e-5)
