#!/usr/bin/env bash
# EXPECTED: LogSoftmax is written so that it does not overflow: log-probabilities of scores 200 apart are 0 and -200. And
#   Softplus(100) is 100.
# SEEN: onnx's reference evaluator, tract and OpenCV take the logarithm of a finished softmax: -inf, from a distance of
#   104 on (OpenCV: 88). tract and OpenCV give Softplus(x) = inf from x = 89 on. onnxruntime is right.
# WHY: a difference of log-probabilities, the usual thing to explain or to rank by, becomes inf or NaN for confident rows,
#   and the oracle that one would compare with has the same fault.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0, tract 0.23.9, opencv-python-headless 5.0.0.93. Seen 2026-11-30.
# OUTPUT:
#   onnxruntime  LogSoftmax [200 0] [   0. -200.] [50 0] [  0. -50.]  Softplus [1 50 100 200] [  1.313  50.    100.    200.   ]
#   reference    LogSoftmax [200 0] [  0. -inf] [50 0] [  0. -50.]  Softplus [1 50 100 200] [  1.313  50.    100.    200.   ]
#   tract        LogSoftmax [200 0] [  0. -inf] [50 0] [  0. -50.]  Softplus [1 50 100 200] [ 1.313 50.       inf    inf]
#   opencv       LogSoftmax [200 0] [  0. -inf] [50 0] [  0. -50.]  Softplus [1 50 100 200] [ 1.313 50.       inf    inf]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 tract==0.23.9 opencv-python-headless==5.0.0.93
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import cv2, numpy as np, onnxruntime, tract
from onnx import TensorProto as T, helper as h, save
from onnx.reference import ReferenceEvaluator

def model_of(op, shape, **attributes):
    values = [h.make_tensor_value_info(name, T.FLOAT, shape) for name in "xy"]
    graph = h.make_graph([h.make_node(op, ["x"], ["y"], **attributes)], "g", values[:1], values[1:])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)

def by_onnxruntime(model, x):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]

def by_reference(model, x):
    return ReferenceEvaluator(model).run(None, {"x": x})[0]

def by_tract(model, x):
    save(model, "m.onnx")
    return tract.onnx().load("m.onnx").into_model().into_runnable().run([x])[0].to_numpy()

def by_opencv(model, x):
    net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    net.setInput(x, "x")
    return net.forward()

scores, large = np.float32([[200, 0], [50, 0]]), np.float32([[1, 50, 100, 200]])
for run in (by_onnxruntime, by_reference, by_tract, by_opencv):
    logs, soft = run(model_of("LogSoftmax", [2, 2], axis=1), scores), run(model_of("Softplus", [1, 4]), large)
    print(f"{run.__name__[3:]:12s} LogSoftmax [200 0] {logs[0]} [50 0] {logs[1]}  Softplus [1 50 100 200] {soft[0].round(3)}")
    assert np.allclose(logs[1], [0, -50], atol=1e-3) and np.allclose(soft[0, :2], [1.313, 50], atol=1e-3)
    assert logs[0, 1] == (-200 if run is by_onnxruntime else -np.inf)
    assert np.isinf(soft[0, 2:]).all() == (run in (by_tract, by_opencv))
PY
