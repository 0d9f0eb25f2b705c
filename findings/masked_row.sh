#!/usr/bin/env bash
# EXPECTED: one runtime has one answer for an operator; writing Attention (opset 23) out by the function body that the
#   standard gives for it changes nothing.
# SEEN: for a row masked in all places with the lowest float32, the way many exporters write masks, onnxruntime's own kernel
#   answers 0 and the written-out body, in the same onnxruntime, the mean of V, as does the reference evaluator. With -1e9
#   both give the mean, with -inf both give 0: only the lowest finite number parts them.
# WHY: left-padded batches have such rows. Inlining functions, or a runtime without the kernel, changes their numbers.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (first number of the masked row: kernel / body / reference / mean of V):
#   -1e9            -0.336 / -0.336 / -0.336 / -0.336
#   lowest float32  0.000 / -0.336 / -0.336 / -0.336
#   -inf            0.000 / 0.000 / 0.000 / -0.336
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, helper as h, inliner
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
rng = np.random.default_rng(0)
shape = [1, 1, 2, 4]
feed = {name: rng.normal(size=shape).astype("f4") for name in "QKV"}
inputs = [h.make_tensor_value_info(name, T.FLOAT, shape) for name in "QKV"] + [h.make_tensor_value_info("M", T.FLOAT, [2, 2])]
graph = h.make_graph([h.make_node("Attention", list("QKVM"), ["Y"])], "g", inputs, [h.make_tensor_value_info("Y", T.FLOAT, shape)])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 23)], ir_version=11)
body = inliner.inline_selected_functions(model, [("", "Attention")], inline_schema_functions=True)
assert all(node.op_type != "Attention" for node in body.graph.node)

def first_row(run):
    return run(None, feed)[0][0, 0, 0]

mean = feed["V"][0, 0].mean(0)
for name, low in (("-1e9", -1e9), ("lowest float32", np.finfo("f4").min), ("-inf", -np.inf)):
    feed["M"] = np.array([[low, low], [low, 0]], "f4")
    kernel, written = (first_row(onnxruntime.InferenceSession(m.SerializeToString()).run) for m in (model, body))
    oracle = first_row(ReferenceEvaluator(model).run)
    print(f"{name:15s} {kernel[0]:.3f} / {written[0]:.3f} / {oracle[0]:.3f} / {mean[0]:.3f}")
    assert np.allclose(kernel, mean if name == "-1e9" else 0, atol=1e-5)
    assert np.allclose(written, 0 if name == "-inf" else mean, atol=1e-5) and np.allclose(oracle, written, atol=1e-5)
PY
