#!/usr/bin/env bash
# EXPECTED: onnx's reference evaluator, the usual oracle, computes an operator as the model's opset defines it.
# SEEN: it takes Softmax, LogSoftmax and Hardmax of any opset for those of opset 13: along one axis. Up to opset 12 they ran
#   over everything from `axis` (default 1) on, so that all of a row of pictures or steps sums to 1, not each step.
# WHY: a runtime that is right is reported wrong, and one with the same mistake right. Lifting the file with the version
#   converter first gives the right numbers for two of the three (see lifted_resize.sh for Hardmax).
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (of [[1, 2], [4, 3]]; onnxruntime / reference evaluator):
#   Softmax-11: [0.03 0.09 0.64 0.24] / [0.27 0.73 0.73 0.27]
#   Softmax-11 axis=1: [0.03 0.09 0.64 0.24] / [0.05 0.27 0.95 0.73]
#   LogSoftmax-11: [-3.44 -2.44 -0.44 -1.44] / [-1.31 -0.31 -0.31 -1.31]
#   Hardmax-11: [0. 0. 1. 0.] / [0. 1. 1. 0.]
#   Softmax-13: [0.27 0.73 0.73 0.27] / [0.27 0.73 0.73 0.27]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
x = np.float32([[[1, 2], [4, 3]]])

def answers(op, opset, **attributes):
    values = [h.make_tensor_value_info(name, T.FLOAT, [1, 2, 2]) for name in "xy"]
    graph = h.make_graph([h.make_node(op, ["x"], ["y"], **attributes)], "g", values[:1], values[1:])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=6)
    checker.check_model(model, full_check=True)
    runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    oracle = ReferenceEvaluator(model).run(None, {"x": x})[0]
    numbers = " / ".join(np.array2string(v.ravel(), precision=2, suppress_small=True) for v in (runtime, oracle))
    print(f"{op}-{opset}{' axis=1' if attributes else ''}: {numbers}")
    return runtime, oracle

whole = np.exp(x) / np.exp(x).sum()
runtime, oracle = answers("Softmax", 11)
assert np.allclose(runtime, whole) and np.allclose(oracle.sum(-1), 1)
runtime, oracle = answers("Softmax", 11, axis=1)
assert np.allclose(runtime, whole) and np.allclose(oracle.sum(1), 1)
runtime, oracle = answers("LogSoftmax", 11)
assert np.allclose(runtime, np.log(whole), atol=1e-6) and not np.allclose(oracle, runtime, atol=0.1)
runtime, oracle = answers("Hardmax", 11)
assert runtime.sum() == 1 and oracle.sum() == 2
runtime, oracle = answers("Softmax", 13)
assert np.allclose(runtime, oracle), "the control has changed"
PY
