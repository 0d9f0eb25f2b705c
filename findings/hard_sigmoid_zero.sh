#!/usr/bin/env bash
# EXPECTED: HardSigmoid(x) = max(0, min(1, alpha·x + beta)) with the beta that the file holds; 0.5 is the default for a file that
#   holds none.
# SEEN: OpenVINO takes a 0 for the default: beta = 0 adds 0.5, alpha = 0 multiplies by 0.2. A beta of 1e-30 is taken as written.
# WHY: clamps such as ReLU1, min(max(x, 0), 1), and ramps are written with beta = 0; numbers stay between 0 and 1, so nothing shows.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of x = [-1, 0, 0.25, 2]; onnxruntime / OpenVINO):
#   alpha 1.0, beta 0.0:   [0.0, 0.0, 0.25, 1.0] / [0.0, 0.5, 0.75, 1.0]
#   alpha 1.0, beta 1e-30: [0.0, 0.0, 0.25, 1.0] / [0.0, 0.0, 0.25, 1.0]
#   alpha 0.0, beta 0.25:  [0.25, 0.25, 0.25, 0.25] / [0.05, 0.25, 0.3, 0.65]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime, openvino
from onnx import TensorProto as T, checker, helper as h

x = np.array([-1, 0, 0.25, 2], "f4")


def answers(alpha, beta):
    node = h.make_node("HardSigmoid", ["x"], ["y"], alpha=alpha, beta=beta)
    values = [h.make_tensor_value_info(name, T.FLOAT, [4]) for name in "xy"]
    model = h.make_model(h.make_graph([node], "g", values[:1], values[1:]), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    by_onnxruntime = onnxruntime.InferenceSession("model.onnx").run(None, {"x": x})[0]
    compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    pair = [np.round(y.astype(float), 6) for y in (by_onnxruntime, np.array(compiled(x)[0]))]
    print(f"{f'alpha {alpha}, beta {beta}:':23}{' / '.join(str(y.tolist()) for y in pair)}")
    assert np.allclose(pair[0], np.clip(alpha * x + beta, 0, 1))
    return pair


right, wrong = answers(1.0, 0.0)
assert np.allclose(wrong, np.clip(x + 0.5, 0, 1)) and not np.allclose(wrong, right)
assert np.allclose(*answers(1.0, 1e-30))
assert np.allclose(answers(0.0, 0.25)[1], 0.2 * x + 0.25)
PY
