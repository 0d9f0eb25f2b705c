#!/usr/bin/env bash
# EXPECTED: TreeEnsemble's attribute post_transform is a number, and ONNX's text names them: 1 is SOFTMAX, 2 is LOGISTIC. A runtime
#   computes what the number says.
# SEEN: onnxruntime numbers them the other way round: 1 is computed as LOGISTIC, 2 as SOFTMAX, without a word. The older operators
#   spell the names out, and are right.
# WHY: whoever lifts a classifier of the older operator to TreeEnsemble by the standard's numbers gets probabilities that do not add up
#   to 1, and the class of the largest one is mostly the same, so accuracy does not show it.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (scores 1 and 2):
#   the standard's text: 1 is SOFTMAX, 2 is LOGISTIC
#   TreeEnsembleRegressor, SOFTMAX:  [0.2689 0.7311]
#   TreeEnsemble, post_transform 1: [0.7311 0.8808]
#   TreeEnsemble, post_transform 2: [0.2689 0.7311]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import re

import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
text = " ".join(onnx.defs.get_schema("TreeEnsemble", domain=ML).attributes["post_transform"].description.split())
names = {number: name for name, number in re.findall(r"'([A-Z_]+)' \((\d)\)", text)}
print(f"the standard's text: 1 is {names['1']}, 2 is {names['2']}")

def run(node, version=5):
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(ML, version)]
    model = helper.make_model(helper.make_graph([node], "g", inputs, outputs), opset_imports=opsets, ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.float32([[0]])})[0][0].round(4)

# Two trees of one comparison each: the first gives target 0 a score of 1, the second target 1 a score of 2, on every branch.
old = run(helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain=ML, n_targets=2, post_transform="SOFTMAX",
    nodes_treeids=[0] * 3 + [1] * 3, nodes_nodeids=[0, 1, 2] * 2, nodes_featureids=[0] * 6, nodes_values=[0.5, 0, 0] * 2,
    nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2, nodes_truenodeids=[1, 0, 0] * 2, nodes_falsenodeids=[2, 0, 0] * 2,
    target_treeids=[0, 0, 1, 1], target_nodeids=[1, 2, 1, 2], target_ids=[0, 0, 1, 1], target_weights=[1.0, 1, 2, 2]), version=3)
print("TreeEnsembleRegressor, SOFTMAX: ", old)

def new(number):
    return run(helper.make_node("TreeEnsemble", ["x"], ["y"], domain=ML, n_targets=2, post_transform=number, aggregate_function=1,
        tree_roots=[0, 1], nodes_modes=numpy_helper.from_array(np.uint8([0, 0])), nodes_featureids=[0, 0],
        nodes_splits=numpy_helper.from_array(np.float32([0.5, 0.5])), nodes_truenodeids=[0, 2], nodes_trueleafs=[1, 1],
        nodes_falsenodeids=[1, 3], nodes_falseleafs=[1, 1], leaf_targetids=[0, 0, 1, 1],
        leaf_weights=numpy_helper.from_array(np.float32([1, 1, 2, 2]))))

softmax, logistic = np.float32([0.2689, 0.7311]), np.float32([0.7311, 0.8808])
for number in (1, 2):
    print(f"TreeEnsemble, post_transform {number}: {new(number)}")
assert names["1"] == "SOFTMAX" and names["2"] == "LOGISTIC", names
assert np.allclose(old, softmax, atol=1e-4), "the control is wrong"
assert np.allclose(new(1), logistic, atol=1e-4) and np.allclose(new(2), softmax, atol=1e-4)
PY
