#!/usr/bin/env bash
# EXPECTED: onnxconverter_common's convert_float_to_float16 rounds constants to half precision, which holds numbers up to
#   65504.
# SEEN: with its defaults it cuts every constant above 1e4 to 1e4, and lifts what is nearer to 0 than 1e-7 to 1e-7. 20000
#   becomes 10000, a mask of -30000 becomes -10000. Both numbers would have been exact. -inf and 0 stay. A Python warning
#   tells. The limits are the arguments max_finite_val and min_positive_val.
# WHY: offsets, dates, counts of pixels and masks lie between 1e4 and 65504; the converted file is off by a factor.
# VERSIONS: onnxconverter-common 1.16.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (constant: with the defaults / with max_finite_val=65504 / by numpy; warnings with the defaults):
#   20000: 10000 / 20000 / 20000
#   -30000: -10000 / -30000 / -30000
#   9000: 9000 / 9000 / 9000
#   -inf: -inf / -inf / -inf
#   0: 0 / 0 / 0
#   warnings: 2
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxconverter-common==1.16.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import warnings
import numpy as np, onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh
from onnxconverter_common.float16 import convert_float_to_float16

onnxruntime.set_default_logger_severity(3)
constant = np.float32([20000, -30000, 9000, -np.inf, 0])

def added(**limits):
    """Convert a model that adds the constant to its input, and run it on zeros."""
    values = [h.make_tensor_value_info(name, T.FLOAT, [5]) for name in "xy"]
    graph = h.make_graph([h.make_node("Add", ["x", "c"], ["y"])], "g", values[:1], values[1:], [nh.from_array(constant, "c")])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    half = convert_float_to_float16(model, keep_io_types=True, **limits)
    return onnxruntime.InferenceSession(half.SerializeToString()).run(None, {"x": np.zeros(5, "f4")})[0]

with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    default = added()
wide, exact = added(max_finite_val=65504.0), constant.astype("f2").astype("f4")
for numbers in zip(constant, default, wide, exact):
    print(f"{numbers[0]:g}: {numbers[1]:g} / {numbers[2]:g} / {numbers[3]:g}")
print("warnings:", len(told))
assert np.array_equal(default, [10000, -10000, 9000, -np.inf, 0]) and np.array_equal(wide, exact)
PY
