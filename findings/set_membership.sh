#!/usr/bin/env bash
# EXPECTED: BRANCH_MEMBER of TreeEnsemble (ai.onnx.ml 5) asks "is the feature one of these values?" and every runtime agrees.
# SEEN: three answers for one valid node.
#   onnxruntime rounds the feature down before it looks it up, once the largest member is 31 or more: 3.5 is in {3, 31}.
#     With {3, 20} the same 3.5 is not.
#   onnx's reference evaluator stops reading a set at the member 0: {0, 3, 40} is empty, {3, 40, 0} lacks 0 only.
# WHY: category codes start at 0 and a column of codes may hold an imputed mean such as 3.5. The oracle is wrong where the
#   runtime is right and the other way round, so comparing the two does not tell which to trust.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (members found by definition / onnxruntime / reference):
#   [3, 20]  [3.0, 20.0]  [3.0, 20.0]  [3.0, 20.0]
#   [3, 31]  [3.0, 31.0]  [3.0, 3.5, 31.0]  [3.0, 31.0]
#   [0, 3, 40]  [0.0, 3.0, 40.0]  [0.0, 0.5, 3.0, 3.5, 40.0, 40.5]  []
#   [3, 40, 0]  [0.0, 3.0, 40.0]  [0.0, 0.5, 3.0, 3.5, 40.0, 40.5]  [3.0, 40.0]
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

asked = np.float32([0, 0.5, 3, 3.5, 20, 31, 40, 40.5])

def stump(members):
    real = lambda name, values: h.make_tensor(name, T.FLOAT, [len(values)], values)
    node = h.make_node(
        "TreeEnsemble", ["X"], ["Y"], domain="ai.onnx.ml", n_targets=1, aggregate_function=1, post_transform=0,
        nodes_modes=h.make_tensor("m", T.UINT8, [1], [6]), nodes_splits=real("s", [0.0]), nodes_featureids=[0], tree_roots=[0],
        membership_values=real("v", [*members, float("nan")]), nodes_trueleafs=[1], nodes_falseleafs=[1], nodes_truenodeids=[0],
        nodes_falsenodeids=[1], leaf_weights=real("w", [1.0, 0.0]), leaf_targetids=[0, 0])
    values = [h.make_tensor_value_info(name, T.FLOAT, ["n", 1]) for name in "XY"]
    opsets = [h.make_opsetid("", 21), h.make_opsetid("ai.onnx.ml", 5)]
    model = h.make_model(h.make_graph([node], "g", values[:1], values[1:]), opset_imports=opsets, ir_version=10)
    checker.check_model(model, full_check=True)
    return model

def found(run):
    return [float(a) for a, y in zip(asked, run(None, {"X": asked[:, None]})[0].ravel()) if y]

seen = {}
for members in ([3, 20], [3, 31], [0, 3, 40], [3, 40, 0]):
    model = stump(members)
    right = [float(a) for a in asked if a in members]
    seen[tuple(members)] = right, found(onnxruntime.InferenceSession(model.SerializeToString()).run), found(ReferenceEvaluator(model).run)
    print(members, *seen[tuple(members)], sep="  ")
assert seen[3, 20] == ([3, 20],) * 3
assert seen[3, 31] == ([3, 31], [3, 3.5, 31], [3, 31])
assert seen[0, 3, 40] == ([0, 3, 40], [0, 0.5, 3, 3.5, 40, 40.5], [])
assert seen[3, 40, 0] == ([0, 3, 40], [0, 0.5, 3, 3.5, 40, 40.5], [3, 40])
PY
