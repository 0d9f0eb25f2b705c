#!/usr/bin/env bash
# EXPECTED: a Scan whose step is `state = slice + state` is a running sum, and so is `state = state + slice`.
# SEEN: with all sizes known, OpenVINO's CPU plugin gives other numbers for the first spelling after a few steps, as the
#   last state and as the stacked output; the second spelling is right. No error. With one unknown size both are right.
#   Max and Mul behave as Add does.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (running sums of ones):
#   slice + state, sizes known       OpenVINO [1.0, 2.0, 2.0, 2.0]
#   state + slice, sizes known       OpenVINO [1.0, 2.0, 3.0, 4.0]
#   slice + state, a size unknown    OpenVINO [1.0, 2.0, 3.0, 4.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime, openvino
from onnx import TensorProto as T, helper as h

feeds = {"start": np.zeros([2, 3], "f4"), "sequence": np.ones([4, 2, 3], "f4")}

def look(operands, rows):
    value = lambda name, shape: h.make_tensor_value_info(name, T.FLOAT, shape)
    step = [h.make_node("Add", operands, ["next"]), h.make_node("Identity", ["next"], ["out"])]
    ends = [[value(name, [rows, 3]) for name in names] for names in (("state", "slice"), ("next", "out"))]
    scan = h.make_node("Scan", ["start", "sequence"], ["last", "all"], num_scan_inputs=1, body=h.make_graph(step, "step", *ends))
    inputs = [value("start", [rows, 3]), value("sequence", [4, rows, 3])]
    graph = h.make_graph([scan], "g", inputs, [value("last", [rows, 3]), value("all", [4, rows, 3])])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8).SerializeToString()
    expected = onnxruntime.InferenceSession(model).run(["all"], feeds)[0]
    core = openvino.Core()
    found = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(feeds)["all"]
    sizes = "a size unknown" if isinstance(rows, str) else "sizes known"
    print(f"{' + '.join(operands) + ', ' + sizes:32}", "OpenVINO", found[:, 0, 0].tolist())
    return np.array_equal(expected, found)

assert not look(["slice", "state"], 2)
assert look(["state", "slice"], 2)
assert look(["slice", "state"], "N")
PY
