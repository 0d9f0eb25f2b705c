#!/usr/bin/env bash
# EXPECTED: a Cast to float16 rounds; what is written as Add, Cast to float16, Cast to float32, Softmax is the softmax of
#   halves.
# SEEN: on a processor onnxruntime computes an Add of halves in float32 and then removes the Casts to float16 and back between
#   it and the Softmax, with all optimisation turned off, too. Scores 1 and 2 and a mask of -30000 are both -30000 as halves
#   (and so says an output that shows the sum), but the softmax is that of 1 and 2: 0.27 and 0.73, not 0.5 and 0.5. The
#   rounding comes back if an output shows the result of the Cast, or if the sum is written in float32.
# WHY: the same file rounds where halves are computed natively and not here, two spellings of one computation differ, and
#   looking at a value changes it.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (softmax by onnxruntime / by the reference evaluator; what the output beside it shows):
#   sum of halves: [0.27 0.73] / [0.5 0.5]
#   the same, no optimisation: [0.27 0.73] / [0.5 0.5]
#   the same, sum shown: [0.27 0.73] / [0.5 0.5] [-30000.0, -30000.0]
#   the same, result of the Cast shown: [0.5 0.5] / [0.5 0.5] [-30000.0, -30000.0]
#   sum in float32: [0.5 0.5] / [0.5 0.5]
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
feed = {"scores": np.float16([[1, 2]]), "mask": np.float16([[-30000, -30000]])}
levels = onnxruntime.GraphOptimizationLevel

def cast(source, target, to):
    return h.make_node("Cast", [source], [target], to=to)

rounding = [cast("sum", "rounded", T.FLOAT16), cast("rounded", "r", T.FLOAT), h.make_node("Softmax", ["r"], ["y"])]
half_sum = [h.make_node("Add", ["scores", "mask"], ["sum"])]
float_sum = [cast("scores", "s", T.FLOAT), cast("mask", "m", T.FLOAT), h.make_node("Add", ["s", "m"], ["sum"])]

def softmax(name, nodes, shown=(), level=levels.ORT_ENABLE_ALL):
    inputs = [h.make_tensor_value_info(n, T.FLOAT16, [1, 2]) for n in feed]
    outputs = [h.make_tensor_value_info("y", T.FLOAT, [1, 2])] + [h.make_tensor_value_info(n, T.FLOAT16, [1, 2]) for n in shown]
    graph = h.make_graph(nodes + rounding, "g", inputs, outputs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    theirs, *beside = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)
    oracle = ReferenceEvaluator(model).run(None, feed)[0]
    print(f"{name}: {np.array2string(theirs[0], precision=2)} / {np.array2string(oracle[0], precision=2)}", *(v[0].tolist() for v in beside))
    assert np.allclose(oracle, 0.5) and all((v == -30000).all() for v in beside)
    return "rounded" if np.allclose(theirs, 0.5) else "not rounded" if np.allclose(theirs, [[0.2689, 0.7311]], atol=1e-3) else "?"

assert softmax("sum of halves", half_sum) == "not rounded"
assert softmax("the same, no optimisation", half_sum, (), levels.ORT_DISABLE_ALL) == "not rounded"
assert softmax("the same, sum shown", half_sum, ["sum"]) == "not rounded"
assert softmax("the same, result of the Cast shown", half_sum, ["rounded"]) == "rounded"
assert softmax("sum in float32", float_sum) == "rounded"
PY
