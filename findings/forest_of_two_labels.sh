#!/usr/bin/env bash
# EXPECTED: TreeEnsembleClassifier with two classes and leaf weights for both answers with a label of `classlabels_int64s`,
#   that of the class with the larger sum, as it does with three classes.
# SEEN: onnxruntime answers 0 or 1, numbers that are no labels of the file, and not by the larger sum: 1 for both rows where
#   the weights are positive. With a third class that no leaf adds to, its labels are right.
#   onnx's reference evaluator is right there, and wrong where leaves add to the second class alone: the first label always.
# WHY: who reads the label gets another answer than who reads the scores; where the labels are 0 and 1 nothing looks wrong.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (labels from onnxruntime / from the reference evaluator / scores of both rows):
#   two classes  [1, 1]  [10, 11]  [[0.9, 0.1], [0.2, 0.8]]
#   two, signed  [0, 1]  [10, 11]  [[0.9, -0.1], [-0.2, 0.8]]
#   three  [10, 11]  [10, 11]  [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]]
#   one score  [10, 11]  [10, 10]  [[0.0, 0.1], [0.0, 0.8]]
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

def stump(labels, classes, weights):
    """Rows up to 0 reach the first leaf, the others the second; each leaf has one weight for each of `classes`."""
    node = h.make_node(
        "TreeEnsembleClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml", post_transform="NONE",
        nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2], nodes_featureids=[0] * 3, nodes_values=[0.0] * 3,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0] * len(weights), class_nodeids=[1] * len(classes) + [2] * len(classes), class_ids=classes * 2,
        class_weights=weights, classlabels_int64s=labels)
    outputs = [h.make_tensor_value_info("label", T.INT64, ["n"]), h.make_tensor_value_info("scores", T.FLOAT, ["n", len(labels)])]
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("X", T.FLOAT, ["n", 1])], outputs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
    checker.check_model(model, full_check=True)
    return model

rows = np.float32([[-1], [1]])
seen = {}
for name, labels, classes, weights in (
    ("two classes", [10, 11], [0, 1], [0.9, 0.1, 0.2, 0.8]), ("two, signed", [10, 11], [0, 1], [0.9, -0.1, -0.2, 0.8]),
    ("three", [10, 11, 12], [0, 1], [0.9, 0.1, 0.2, 0.8]), ("one score", [10, 11], [1], [0.1, 0.8]),
):
    model = stump(labels, classes, weights)
    theirs = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"X": rows})
    oracle = ReferenceEvaluator(model).run(None, {"X": rows})
    seen[name] = theirs[0].tolist(), np.asarray(oracle[0]).tolist()
    print(name, *seen[name], [[round(float(v), 2) for v in row] for row in theirs[1]], sep="  ")
assert seen == {
    "two classes": ([1, 1], [10, 11]), "two, signed": ([0, 1], [10, 11]), "three": ([10, 11], [10, 11]),
    "one score": ([10, 11], [10, 10])}
PY
