#!/usr/bin/env bash
# EXPECTED: onnxscript.optimizer.optimize keeps what a model computes; Add of a constant goes away only if it is 0, Mul only if
#   it is 1.
# SEEN: its rules take "nearly" for "exactly". Any added constant up to 1e-8 is deleted, and any factor within 1e-5 of 1. The
#   guard of a division or of a logarithm goes, and the result for x = 0 turns from a number into NaN or -inf.
# WHY: 1e-8 and 1e-9 are usual guards (normalisations, losses, relevance rules). On ordinary rows nothing differs, so a
#   comparison of outputs after the optimiser passes; an all-zero row in production fails. 1e-7 is kept.
# VERSIONS: onnxscript 0.7.2, onnx-ir 1.1.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT:
#   Abs+Add+Div    constant 1e-08     x [0, 1]: [0. 1.] becomes [nan  1.]
#   Abs+Add+Div    constant 1e-09     x [0, 1]: [0. 1.] becomes [nan  1.]
#   Add+Log        constant 1e-08     x [0, 1]: [-18.420681   0.      ] becomes [-inf   0.]
#   Mul            constant 1.00001   x [1000000.0, 1]: [1.000005e+06 1.000005e+00] becomes [1.e+06 1.e+00]
#   Abs+Add+Div    constant 1e-07     x [0, 1]: [0.        0.9999999] becomes [0.        0.9999999]
#   Mul            constant 1.00002   x [0, 1]: [0.      1.00002] becomes [0.      1.00002]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnx-ir==1.1.0 onnxscript==0.7.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from onnxscript import optimizer

def before_and_after(nodes, constant, x):
    values = [h.make_tensor_value_info(name, T.FLOAT, [len(x)]) for name in "xy"]
    graph = h.make_graph(nodes, "g", values[:1], values[1:], [nh.from_array(np.float32(constant), "c")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
    answers = [onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": np.float32(x)})[0]
               for m in (model, optimizer.optimize(model))]
    print(f"{'+'.join(node.op_type for node in nodes):14s} constant {constant:<9g} x {x}: {answers[0]} becomes {answers[1]}")
    return answers

ratio = [h.make_node("Abs", ["x"], ["a"]), h.make_node("Add", ["a", "c"], ["b"]), h.make_node("Div", ["x", "b"], ["y"])]
logarithm = [h.make_node("Add", ["x", "c"], ["a"]), h.make_node("Log", ["a"], ["y"])]
factor = [h.make_node("Mul", ["x", "c"], ["y"])]

for guard in (1e-8, 1e-9):
    before, after = before_and_after(ratio, guard, [0, 1])
    assert before[0] == 0 and np.isnan(after[0]) and after[1] == 1
before, after = before_and_after(logarithm, 1e-8, [0, 1])
assert np.isfinite(before).all() and after[0] == -np.inf
before, after = before_and_after(factor, 1.000005, [1e6, 1])
assert before[0] == 1000005 and after[0] == 1000000
for nodes, constant in ((ratio, 1e-7), (factor, 1.00002)):
    before, after = before_and_after(nodes, constant, [0, 1])
    assert np.array_equal(before, after), "the control has changed"
PY
