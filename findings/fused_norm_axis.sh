#!/usr/bin/env bash
# EXPECTED: an optimised session computes what the file says, to a few last digits.
# SEEN: a sum and the LayerNormalization that reads it become one SkipLayerNormalization, which normalises the last axis, whatever
#   `axis` says. With axis=1 of [N, 3, 4] and scale and bias of [4] the numbers are off by more than the standard deviation of
#   what comes out. With optimisation disabled they are right, and so they are for axis -1.
# WHY: nothing is logged, the shape is right, and every row still has mean 0: residual blocks over two axes (pictures, mixers) give
#   other answers in production than in the framework.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (CPU); onnxruntime-gpu 1.31.1 without a GPU likewise. Seen 2026-11-30.
# OUTPUT (largest difference from numpy: not optimised / optimised):
#   axis 1: 2e-07 / 1.9
#   axis 2: 2e-07 / 2e-07
#   axis -1: 2e-07 / 2e-07
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
rng = np.random.default_rng(0)
feed = {name: rng.normal(size=(2, 3, 4)).astype("f4") for name in "ax"}
scale, bias = rng.normal(size=(2, 4)).astype("f4")
level = onnxruntime.GraphOptimizationLevel

def differences(axis):
    """Of a sum that is normalised from an axis on: how far each session is from numpy."""
    nodes = [h.make_node("Add", ["a", "x"], ["s"]), h.make_node("LayerNormalization", ["s", "scale", "bias"], ["y"], axis=axis)]
    values = [h.make_tensor_value_info(name, T.FLOAT, ["N", 3, 4]) for name in "axy"]
    graph = h.make_graph(nodes, "g", values[:2], values[2:], [nh.from_array(scale, "scale"), nh.from_array(bias, "bias")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    s, axes = feed["a"] + feed["x"], tuple(range(axis % 3, 3))
    right = (s - s.mean(axes, keepdims=True)) / np.sqrt(s.var(axes, keepdims=True) + 1e-5) * scale + bias
    found = []
    for optimisation in (level.ORT_DISABLE_ALL, level.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = optimisation
        y = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)[0]
        found.append(float(abs(y - right).max()))
    print(f"axis {axis}: {found[0]:.1g} / {found[1]:.2g}" if found[1] > 1e-3 else f"axis {axis}: {found[0]:.1g} / {found[1]:.1g}")
    return found

plain, optimised = differences(1)
assert plain < 1e-5 and optimised > 0.1
for axis in (2, -1):
    assert max(differences(axis)) < 1e-5, "the control has changed"
PY
