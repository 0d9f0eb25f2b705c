#!/usr/bin/env bash
# EXPECTED: the second output of MaxPool holds the places of the maxima in the whole flattened input, batch included (the
#   operator's documentation counts through all axes, n and c too).
# SEEN: OpenCV's dnn module begins again at 0 with every sample, though not with every channel. The maxima are right, and so is
#   everything for the first sample.
# WHY: unpooling by these places (SegNet, guided backpropagation, any backward pass inside a graph) puts the values of all
#   samples into the first one, without an error; a test with one sample passes.
# VERSIONS: opencv-python-headless 5.0.0.93, onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1. Seen 2026-11-30.
# OUTPUT (places in a batch of two samples of 2 × 4 × 4, pooled by 2 × 2):
#   onnxruntime: [[4, 6, 8, 15, 21, 18, 29, 27], [36, 38, 44, 46, 52, 54, 60, 59]]
#   OpenVINO:    the same
#   OpenCV:      [[4, 6, 8, 15, 21, 18, 29, 27], [4, 6, 12, 14, 20, 22, 28, 27]]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 opencv-python-headless==5.0.0.93
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import cv2, numpy as np, onnx, onnxruntime, openvino
from onnx import TensorProto as T, checker, helper as h

value = h.make_tensor_value_info
x = value("x", T.FLOAT, ["N", 2, 4, 4])
outputs = [value("y", T.FLOAT, ["N", 2, 2, 2]), value("places", T.INT64, ["N", 2, 2, 2])]
node = h.make_node("MaxPool", ["x"], ["y", "places"], kernel_shape=[2, 2], strides=[2, 2])
model = h.make_model(h.make_graph([node], "g", [x], outputs), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
onnx.save(model, "model.onnx")
batch = np.random.default_rng(0).permutation(64).reshape(2, 2, 4, 4).astype("f4")


def by_onnxruntime():
    return onnxruntime.InferenceSession("model.onnx").run(["y", "places"], {"x": batch})


def by_openvino():
    found = openvino.Core().compile_model("model.onnx", "CPU")(batch)
    return [np.array(found[index]) for index in (0, 1)]


def by_opencv():
    net = cv2.dnn.readNetFromONNX("model.onnx")
    net.setInput(batch, "x")
    return net.forward(["y", "places"])


answers = {"onnxruntime": by_onnxruntime(), "OpenVINO": by_openvino(), "OpenCV": by_opencv()}
for name, (y, places) in answers.items():
    print(f"{name + ':':12} {np.reshape(places, (2, -1)).tolist()}")
    assert np.array_equal(y, batch.reshape(2, 2, 2, 2, 2, 2).max((3, 5)))  # the maxima are right everywhere
right, same, wrong = (np.asarray(places).reshape(2, -1) for _, places in answers.values())
assert np.array_equal(batch.ravel()[right], answers["onnxruntime"][0].reshape(2, -1)) and np.array_equal(same, right)
assert np.array_equal(wrong[0], right[0]) and np.array_equal(wrong[1], right[1] - 32)
PY
