#!/usr/bin/env bash
# EXPECTED: Unique finds the numbers that a tensor holds. Whether two NaN are one value or two may differ; 1, 2 and 3 are there.
# SEEN: in onnxruntime NaN counts as equal to whatever it is compared with. If it comes first all values are one, [NaN], with a count of
#   5; elsewhere it is added to the count of a number, and that may hide numbers further on. inverse_indices point at the wrong
#   value, so y[inverse] is not x. The reference evaluator and OpenVINO find every number.
# WHY: codes and categories are made by Unique (numpy's and pandas' unique export to it), and one missing value in a column decides
#   about the other rows. The answer depends on the order of the rows.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6. Seen 2026-11-30.
# OUTPUT (values, counts, and x taken back through inverse_indices):
#   onnxruntime [3.0, 1.0, 2.0, 3.0]       [1.0, 2.0, 3.0]       [1, 1, 2]       [3.0, 1.0, 2.0, 3.0]
#   onnxruntime [nan, 3.0, 1.0, 2.0, 3.0]  [nan]                 [5]             [nan, nan, nan, nan, nan]
#   reference   [nan, 3.0, 1.0, 2.0, 3.0]  [1.0, 2.0, 3.0, nan]  [1, 1, 2, 1]    [nan, 3.0, 1.0, 2.0, 3.0]
#   onnxruntime [5.0, 4.0, nan, 1.0, 2.0]  [1.0, 2.0, 4.0, 5.0]  [1, 1, 2, 1]    [5.0, 4.0, 4.0, 1.0, 2.0]
#   reference   [5.0, 4.0, nan, 1.0, 2.0]  [1.0, 2.0, 4.0, 5.0, nan] [1, 1, 1, 1, 1] [5.0, 4.0, nan, 1.0, 2.0]
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

node = h.make_node("Unique", ["x"], ["y", "first", "inverse", "counts"], sorted=1)
x = h.make_tensor_value_info("x", T.FLOAT, ["n"])
outputs = [h.make_tensor_value_info(name, T.FLOAT if name == "y" else T.INT64, ["m"]) for name in ("y", "first", "counts")]
outputs.insert(2, h.make_tensor_value_info("inverse", T.INT64, ["n"]))
model = h.make_model(h.make_graph([node], "g", [x], outputs), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
engines = {"onnxruntime": onnxruntime.InferenceSession(model.SerializeToString()), "reference": ReferenceEvaluator(model)}


def answers(engine, numbers):
    numbers = np.array(numbers, "f4")
    values, _, inverse, counts = (np.asarray(v) for v in engines[engine].run(None, {"x": numbers}))
    print(f"{engine:11s} {str(numbers.tolist()):26s} {str(values.tolist()):21s} {str(counts.tolist()):15s} {values[inverse].tolist()}")
    return values, values[inverse], numbers


nan = float("nan")
values, back, numbers = answers("onnxruntime", [3, 1, 2, 3])
assert np.array_equal(values, [1, 2, 3]) and np.array_equal(back, numbers)
for numbers, found in (([nan, 3, 1, 2, 3], [nan]), ([5, 4, nan, 1, 2], [1, 2, 4, 5])):
    values, back, given = answers("onnxruntime", numbers)
    assert np.array_equal(values, found, equal_nan=True) and not np.array_equal(back, given, equal_nan=True)
    values, back, given = answers("reference", numbers)
    assert np.array_equal(back, given, equal_nan=True) and set(given[~np.isnan(given)]) <= set(values)
PY
