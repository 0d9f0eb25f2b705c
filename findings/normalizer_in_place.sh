#!/usr/bin/env bash
# EXPECTED: what a file declares of the shapes of inner values is a hint, and changes no numbers.
# SEEN: an L2 Normalizer (scikit-learn's, in most text and similarity pipelines) loses the signs of its input once the file
#   declares that the values before and after it have the same shape: onnxruntime lets it write over its input, and it takes the
#   signs from there afterwards. Without the declarations, and for L1 and the maximum, the numbers are right.
# WHY: shape inference tools and converters add such declarations; a saved copy of a working file answers otherwise.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of [-3, 4]: nothing declared / shapes declared):
#   L2: [-0.6, 0.8] / [0.6, 0.8]
#   L1: [-0.43, 0.57] / [-0.43, 0.57]
#   MAX: [-0.75, 1.0] / [-0.75, 1.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh

onnxruntime.set_default_logger_severity(3)

def answer(norm, declared):
    """Twice x, normalised, times one."""
    nodes = [
        h.make_node("Mul", ["x", "two"], ["doubled"]),
        h.make_node("Normalizer", ["doubled"], ["normal"], domain="ai.onnx.ml", norm=norm),
        h.make_node("Mul", ["normal", "one"], ["y"]),
    ]
    x, y, *inner = (h.make_tensor_value_info(name, T.FLOAT, ["N", 2]) for name in ("x", "y", "doubled", "normal"))
    constants = [nh.from_array(np.float32(2), "two"), nh.from_array(np.float32([1, 1]), "one")]
    graph = h.make_graph(nodes, "g", [x], [y], constants, value_info=inner if declared else [])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
    checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.float32([[-3, 4]])})[0][0].round(2).astype(float)

for norm in ("L2", "L1", "MAX"):
    bare, declared = answer(norm, False), answer(norm, True)
    print(f"{norm}: {[round(v, 2) for v in bare.tolist()]} / {[round(v, 2) for v in declared.tolist()]}")
    if norm == "L2":
        assert bare[0] < 0 and (declared == abs(bare)).all()
    else:
        assert (declared == bare).all(), "the control has changed"
PY
