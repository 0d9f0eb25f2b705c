#!/usr/bin/env bash
# EXPECTED: a tree that asks "is x 1? then the first leaf; else, is x 2? then the second leaf; else the third" goes to the
#   second leaf for x = 2.
# SEEN: onnxruntime merges a chain of BRANCH_EQ nodes on one feature into one question for a set, if the true branches are
#   equal, and takes leaves for equal by the first weight alone: leaves of three classes with the weight 1 each are "equal",
#   and x = 2 gets the first class. With the weights 1, 2 and 3, or with a number outside 1 to 32, every row gets its own
#   leaf.
# WHY: a weight of 1 for its class is the natural way to write a decision tree; tests with other weights pass.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (classes of the three numbers; onnxruntime / reference evaluator):
#   x = [1.0, 2.0, 3.0], weights [1.0, 1.0, 1.0]: [0, 0, 2] / [0, 1, 2]
#   x = [1.0, 2.0, 3.0], weights [1.0, 2.0, 3.0]: [0, 1, 2] / [0, 1, 2]
#   x = [41.0, 42.0, 43.0], weights [1.0, 1.0, 1.0]: [0, 1, 2] / [0, 1, 2]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)

def classes(numbers, weights):
    """A row equal to the first number belongs to class 0, to the second to class 1, all others to class 2."""
    node = h.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", post_transform="NONE",
        nodes_treeids=[0] * 5, nodes_nodeids=[0, 1, 2, 3, 4], nodes_featureids=[0] * 5, nodes_values=[*numbers[:2], 0.0, 0.0, 0.0],
        nodes_modes=["BRANCH_EQ"] * 2 + ["LEAF"] * 3, nodes_truenodeids=[2, 3, 0, 0, 0], nodes_falsenodeids=[1, 4, 0, 0, 0],
        class_treeids=[0] * 3, class_nodeids=[2, 3, 4], class_ids=[0, 1, 2], class_weights=weights, classlabels_int64s=[0, 1, 2])
    outputs = [h.make_tensor_value_info("label", T.INT64, ["n"]), h.make_tensor_value_info("scores", T.FLOAT, ["n", 3])]
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", T.FLOAT, ["n", 1])], outputs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
    checker.check_model(model, full_check=True)
    feed = {"X": np.float32(numbers)[:, None]}
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0].tolist()
    oracle = np.asarray(ReferenceEvaluator(model).run(None, feed)[0]).tolist()
    print(f"x = {numbers}, weights {weights}: {theirs} / {oracle}")
    assert oracle == [0, 1, 2]
    return theirs

assert classes([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]) == [0, 0, 2]
assert classes([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) == [0, 1, 2]
assert classes([41.0, 42.0, 43.0], [1.0, 1.0, 1.0]) == [0, 1, 2]
PY
