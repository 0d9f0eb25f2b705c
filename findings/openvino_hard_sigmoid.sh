#!/usr/bin/env bash
# EXPECTED: HardSigmoid with alpha 0.2 and beta 0 is max(0, min(1, 0.2·x)), as ONNX defines it and other runtimes compute it.
# SEEN: OpenVINO computes max(0, min(1, 0.2·x + 0.5)): it takes a beta of exactly 0 for the default of 0.5. No error, and 1e-7
#   in its place is right.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (x = -1, 0, 1, 2):
#   beta 0.0      expected [0.0, 0.0, 0.2, 0.4]   OpenVINO [0.3, 0.5, 0.7, 0.9]
#   beta 1e-07    expected [0.0, 0.0, 0.2, 0.4]   OpenVINO [0.0, 0.0, 0.2, 0.4]
#   beta 0.5      expected [0.3, 0.5, 0.7, 0.9]   OpenVINO [0.3, 0.5, 0.7, 0.9]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime, openvino
from onnx import TensorProto as T, helper as h

x = np.array([-1, 0, 1, 2], "f4")

def look(beta):
    values = [h.make_tensor_value_info(name, T.FLOAT, [4]) for name in "xy"]
    node = h.make_node("HardSigmoid", ["x"], ["y"], alpha=0.2, beta=beta)
    model = h.make_model(h.make_graph([node], "g", values[:1], values[1:]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    expected = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    core = openvino.Core()
    run = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = run({"x": x})[0]
    show = lambda a: [round(float(v), 3) for v in a]
    print(f"beta {beta:<8} expected {show(expected)}   OpenVINO {show(found)}")
    return abs(expected - found).max() < 1e-5

assert not look(0.0) and look(1e-7) and look(0.5)
PY
