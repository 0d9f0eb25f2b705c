#!/usr/bin/env bash
# EXPECTED: OpenVINO computes what an attribute or an input asks for, or refuses the file, as onnxruntime refuses layout = 1.
# SEEN: it leaves out, without a word: the peepholes P and layout = 1 (batch first) of LSTM, GRU and RNN; antialias and
#   exclude_outside of Resize, and keep_aspect_ratio_policy, which changes the output's shape; the axis of DFT, an input since
#   opset 20. The standard defines each; opset 17's DFT, whose axis is an attribute, is right.
# WHY: with layout = 1 the batch is read as time: every sample's state runs on from the sample above it, and all numbers stay
#   plausible. Antialiasing is what preprocessing inside of a file is exported with.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (largest difference from the reference over its largest number):
#   LSTM                               OpenVINO 0.000, onnxruntime 0.000
#   LSTM, peepholes                    OpenVINO 0.206, onnxruntime 0.000
#   LSTM, batch first, reshaped        OpenVINO 1.460, onnxruntime refuses
#   GRU, batch first, reshaped         OpenVINO 0.564, onnxruntime refuses
#   RNN, batch first, reshaped         OpenVINO 1.068, onnxruntime refuses
#   Resize by half, linear             OpenVINO 0.000, onnxruntime 0.000
#   Resize by half, antialias          OpenVINO 0.049, onnxruntime 0.000
#   Resize by two, cubic               OpenVINO 0.000, onnxruntime 0.000
#   Resize by two, exclude_outside     OpenVINO 0.009, onnxruntime 0.000
#   Resize to 3 x 8, not_larger        OpenVINO shape (1, 1, 3, 8) for (1, 1, 3, 6), onnxruntime 0.000
#   DFT-17, axis = 2                   OpenVINO 0.000, onnxruntime 0.000
#   DFT-20, axis 1                     OpenVINO 0.000, onnxruntime 0.000
#   DFT-20, axis 2                     OpenVINO 0.695, onnxruntime 0.000
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime, openvino
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh, shape_inference
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(4)
random = np.random.RandomState(0)
f = lambda *shape: random.normal(size=shape).astype("f4")


def difference(run, right):
    try:
        found = run()
    except Exception:
        return "refuses"
    if found.shape != right.shape:
        return f"shape {found.shape} for {right.shape}"
    return f"{np.abs(found - right).max() / np.abs(right).max():.3f}"


def look(name, operator, x, constants, opset, expect, inputs=None, reshape=None, **attributes):
    nodes = [h.make_node(operator, inputs or ["x", *constants], ["z" if reshape else "y"], **attributes)]
    if reshape:
        constants = {**constants, "shape": np.array(reshape)}
        nodes.append(h.make_node("Reshape", ["z", "shape"], ["y"]))
    graph = h.make_graph(nodes, "g", [h.make_tensor_value_info("x", T.FLOAT, x.shape)], [h.make_empty_tensor_value_info("y")],
                         [nh.from_array(np.asarray(value), key) for key, value in constants.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=10)
    model = shape_inference.infer_shapes(model, strict_mode=True)
    checker.check_model(model, full_check=True)
    onnx.save(model, "model.onnx")
    right = ReferenceEvaluator(model).run(None, {"x": x})[0]
    compiled = openvino.Core().compile_model("model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ours = difference(lambda: np.array(compiled({"x": x})[0]), right)
    theirs = difference(lambda: onnxruntime.InferenceSession("model.onnx").run(None, {"x": x})[0], right)
    print(f"{name:34s} OpenVINO {ours}, onnxruntime {theirs}")
    assert theirs in ("0.000", "refuses")
    assert (ours == "0.000") == (expect == "right")


def recurrent(gates):
    return {"W": f(1, gates * 3, 2), "R": f(1, gates * 3, 3), "B": f(1, gates * 6)}


x = f(5, 4, 2)
look("LSTM", "LSTM", x, recurrent(4), 17, "right", hidden_size=3)
peepholes = {**recurrent(4), "P": f(1, 9)}
look("LSTM, peepholes", "LSTM", x, peepholes, 17, "wrong", ["x", "W", "R", "B", "", "", "", "P"], hidden_size=3)
for operator, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
    node = dict(hidden_size=3, layout=1, inputs=["x", "W", "R", "B"])
    look(f"{operator}, batch first, reshaped", operator, x, recurrent(gates), 17, "wrong", reshape=[5, 4, 3], **node)
picture = np.arange(1, 17, dtype="f4").reshape(1, 1, 4, 4)
half, twice = ({"s": np.array([1, 1, k, k], "f4")} for k in (0.5, 2))
look("Resize by half, linear", "Resize", picture, half, 19, "right", ["x", "", "s"], mode="linear")
look("Resize by half, antialias", "Resize", picture, half, 19, "wrong", ["x", "", "s"], mode="linear", antialias=1)
look("Resize by two, cubic", "Resize", picture, twice, 19, "right", ["x", "", "s"], mode="cubic")
look("Resize by two, exclude_outside", "Resize", picture, twice, 19, "wrong", ["x", "", "s"], mode="cubic", exclude_outside=1)
policy = dict(mode="nearest", axes=[2, 3], keep_aspect_ratio_policy="not_larger")
look("Resize to 3 x 8, not_larger", "Resize", picture[:, :, :2], {"s": np.array([3, 8])}, 19, "wrong", ["x", "", "", "s"], **policy)
signal = f(1, 3, 4, 1)
look("DFT-17, axis = 2", "DFT", signal, {}, 17, "right", axis=2)
look("DFT-20, axis 1", "DFT", signal, {"axis": np.int64(1)}, 20, "right", ["x", "", "axis"])
look("DFT-20, axis 2", "DFT", signal, {"axis": np.int64(2)}, 20, "wrong", ["x", "", "axis"])
PY
