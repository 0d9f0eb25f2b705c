#!/usr/bin/env bash
# EXPECTED: with integers (1 / a) * b is 0 for every a above 1, because the division comes first, and an optimised session answers
#   what the file says.
# SEEN: onnxruntime's optimiser writes b / a for it, for integers, too: 3 for a = 2 and b = 7. It also loses the shape that the
#   constant 1 gives to the result: a 1 of shape [1, 1, 1] and vectors of 3 give [1, 1, 3] without optimisation and [3] with.
# WHY: index and size arithmetic is done in int64; with optimisation disabled and in the reference evaluator the numbers are other
#   ones, so a comparison with either blames the file.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (of (1 / [2, 3, 1]) * [7, 9, 5]: not optimised / optimised / reference evaluator):
#   int64:         [0, 0, 5] / [3, 3, 5] / [0, 0, 5]
#   int32:         [0, 0, 5] / [3, 3, 5] / [0, 0, 5]
#   float32, a 1 of shape [1, 1, 1]: shapes [1, 1, 3] / [3] / [1, 1, 3]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import checker, helper as h, numpy_helper as nh
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
level = onnxruntime.GraphOptimizationLevel

def three_answers(dtype, shape, dimensions):
    """Of a session that is not optimised, one that is, and the reference evaluator."""
    kind = h.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [h.make_node("Div", ["one", "a"], ["d"]), h.make_node("Mul", ["d", "b"], ["y"])]
    values = [h.make_tensor_value_info(name, kind, [3]) for name in "ab"]
    out = h.make_tensor_value_info("y", kind, dimensions)
    graph = h.make_graph(nodes, "g", values, [out], [nh.from_array(np.ones(shape, dtype), "one")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    feed = {"a": np.array([2, 3, 1], dtype), "b": np.array([7, 9, 5], dtype)}
    for optimisation in (level.ORT_DISABLE_ALL, level.ORT_ENABLE_ALL):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = optimisation
        yield onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, feed)[0]
    yield ReferenceEvaluator(model).run(None, feed)[0]

for dtype in ("int64", "int32"):
    plain, optimised, oracle = (y.tolist() for y in three_answers(dtype, (), [3]))
    print(f"{dtype + ':':14s} {plain} / {optimised} / {oracle}")
    assert plain == oracle == [0, 0, 5] and optimised == [3, 3, 5]
plain, optimised, oracle = (list(y.shape) for y in three_answers("float32", (1, 1, 1), [1, 1, 3]))
print(f"float32, a 1 of shape [1, 1, 1]: shapes {plain} / {optimised} / {oracle}")
assert plain == oracle == [1, 1, 3] and optimised == [3]
plain, optimised, oracle = three_answers("float32", (), [3])
assert np.allclose(plain, optimised) and np.allclose(plain, oracle), "the control has changed"
PY
