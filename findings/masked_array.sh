#!/usr/bin/env bash
# EXPECTED: a session that is fed a masked array of numpy leaves the masked numbers out, makes NaN of them, or raises an
#   error.
# SEEN: onnxruntime takes the numbers beneath the mask, so the mean of [1, 2, masked -9999] is -3332. `filled(nan)` must be
#   called. np.asarray, too, drops a mask in silence, also of masked arrays in a list. onnx's reference evaluator passes the
#   masked array on to numpy and answers 1.5, so that a test with it passes.
# WHY: readers of climate, satellite and medical data give masked arrays, with a fill value such as -9999 or 1e20 beneath the
#   mask.
# VERSIONS: numpy 2.4.6, onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT:
#   numpy: 1.5
#   onnxruntime: -3332.0
#   reference evaluator: 1.5
#   onnxruntime, filled with NaN: nan
#   np.asarray of a list: [1.0, 2.0, -9999.0] ndarray
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
values = [h.make_tensor_value_info("x", T.FLOAT, ["n"]), h.make_tensor_value_info("y", T.FLOAT, [])]
graph = h.make_graph([h.make_node("ReduceMean", ["x"], ["y"], keepdims=0)], "g", values[:1], values[1:])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model.SerializeToString())
masked = np.ma.masked_equal(np.float32([1, 2, -9999]), -9999)

answers = {
    "numpy": masked.mean(), "onnxruntime": session.run(None, {"x": masked})[0],
    "reference evaluator": ReferenceEvaluator(model).run(None, {"x": masked})[0],
    "onnxruntime, filled with NaN": session.run(None, {"x": masked.filled(np.nan)})[0]}
for name, answer in answers.items():
    print(f"{name}: {float(answer)}")
assert np.array_equal([float(v) for v in answers.values()], [1.5, -3332, 1.5, np.nan], equal_nan=True)
together = np.asarray([masked, np.float32([3, 4, 5])])
print("np.asarray of a list:", together[0].tolist(), type(together).__name__)
assert together[0].tolist() == [1, 2, -9999] and not np.ma.isMaskedArray(together)
PY
