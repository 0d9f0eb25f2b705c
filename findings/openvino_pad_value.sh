#!/usr/bin/env bash
# EXPECTED: Pad fills with its third input, constant_value, whether that is a constant or computed (the operator takes any tensor of
#   one element; it is 0 only where the input is absent).
# SEEN: OpenVINO fills with 0 wherever the value is computed, or fed: without an error or a warning. A constant one is taken, and so
#   is a computed one that folds into a constant.
# WHY: padding with a computed number (a minimum, so that a pool does not see it; a mean; a zero point) is how exporters write
#   "pad with x.min()". The shape is right, and so are all elements but those of the border.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of x = [-3, -1, -2]; onnxruntime / OpenVINO):
#   pad with the constant -3     [-3.0, -3.0, -1.0, -2.0, -3.0] / [-3.0, -3.0, -1.0, -2.0, -3.0]
#   pad with ReduceMin(x)        [-3.0, -3.0, -1.0, -2.0, -3.0] / [0.0, -3.0, -1.0, -2.0, 0.0]
#   pad with min, largest of 3   [-1.0, -1.0, -1.0] / [0.0, -1.0, 0.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime, openvino
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh

x = np.array([-3, -1, -2], "f4")


def answers(name, nodes, size):
    values = [h.make_tensor_value_info(*pair) for pair in (("x", T.FLOAT, [1, 1, 3]), ("y", T.FLOAT, [1, 1, size]))]
    constants = [nh.from_array(np.array([0, 0, 1, 0, 0, 1]), "pads")]
    model = h.make_model(h.make_graph(nodes, "g", values[:1], values[1:], constants), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    feeds = {"x": x.reshape(1, 1, 3)}
    by_onnxruntime = onnxruntime.InferenceSession("model.onnx").run(None, feeds)[0].ravel()
    compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    by_openvino = np.array(compiled(feeds)[0]).ravel()
    print(f"{name:28s} {by_onnxruntime.tolist()} / {by_openvino.tolist()}")
    return by_onnxruntime, by_openvino


constant = h.make_node("Constant", [], ["v"], value_float=-3.0)
smallest = h.make_node("ReduceMin", ["x"], ["v"], keepdims=0)
right, same = answers("pad with the constant -3", [constant, h.make_node("Pad", ["x", "pads", "v"], ["y"])], 5)
assert np.array_equal(right, same) and right[0] == -3
right, wrong = answers("pad with ReduceMin(x)", [smallest, h.make_node("Pad", ["x", "pads", "v"], ["y"])], 5)
assert np.array_equal(right, same) and np.array_equal(wrong, [0, *x, 0])
pool = h.make_node("MaxPool", ["p"], ["y"], kernel_shape=[3])
right, wrong = answers("pad with min, largest of 3", [smallest, h.make_node("Pad", ["x", "pads", "v"], ["p"]), pool], 3)
assert np.array_equal(right, [-1, -1, -1]) and np.array_equal(wrong, [0, -1, 0])
PY
