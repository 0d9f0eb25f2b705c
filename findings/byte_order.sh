#!/usr/bin/env bash
# EXPECTED: a session takes numpy's arrays for the numbers that they hold, or refuses them.
# SEEN: an array whose dtype is big-endian (">f4") is read as if its bytes stood the other way round: denormal numbers, or huge ones,
#   without an error or a warning. run, OrtValue and an io binding do the same; so does int64, where 1 is 2**56.
# WHY: FITS images, MNIST's IDX files, NetCDF 3, SEG-Y and much of HDF5 hold big-endian numbers, and their readers hand such arrays
#   on. numpy computes with them and compares them as equal, torch refuses them, and so does onnx's numpy_helper. A
#   standardisation upstream cures it by accident, because its result has the machine's own order.
# VERSIONS: onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6. Seen 2026-11-30, on a little-endian machine.
# OUTPUT:
#   >f4 equals <f4 in numpy: True
#   run      float32 <  [0.0, 1.0, 2.5]
#   run      float32 >  [0.0, 4.600602988224807e-41, 1.156912012146569e-41]
#   OrtValue float32 >  [0.0, 4.600602988224807e-41, 1.156912012146569e-41]
#   binding  float32 >  [0.0, 4.600602988224807e-41, 1.156912012146569e-41]
#   run      int64   >  [0, 72057594037927936, 144115188075855872]
#   >f4 through (x - 0) / 1: [0.0, 1.0, 2.5]
#   numpy_helper.from_array: ValueError
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import sys
import numpy as np, onnxruntime
from onnx import checker, helper as h, numpy_helper

assert sys.byteorder == "little"


def session(dtype):
    kind = h.np_dtype_to_tensor_dtype(np.dtype(dtype))
    values = [h.make_tensor_value_info(name, kind, [3]) for name in "xy"]
    graph = h.make_graph([h.make_node("Identity", ["x"], ["y"])], "g", values[:1], values[1:])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


def run(session, x):
    return session.run(None, {"x": x})[0]


def ort_value(session, x):
    return onnxruntime.OrtValue.ortvalue_from_numpy(x).numpy()


def binding(session, x):
    bound = session.io_binding()
    bound.bind_cpu_input("x", x)
    bound.bind_output("y")
    session.run_with_iobinding(bound)
    return bound.copy_outputs_to_cpu()[0]


numbers = np.array([0, 1, 2.5], "<f4")
swapped = numbers.astype(">f4")
print(f">f4 equals <f4 in numpy: {np.array_equal(numbers, swapped)}")
ask = session("float32")
print("run      float32 < ", run(ask, numbers).tolist())
assert np.array_equal(run(ask, numbers), numbers)
for name, way in (("run", run), ("OrtValue", ort_value), ("binding", binding)):
    answer = way(ask, swapped)
    print(f"{name:8s} float32 > ", answer.tolist())
    assert np.array_equal(answer, swapped.view("<f4")) and not np.array_equal(answer, numbers)
whole = np.arange(3, dtype=">i8")
answer = run(session("int64"), whole)
print("run      int64   > ", answer.tolist())
assert np.array_equal(answer, whole.view("<i8"))
cured = (swapped - 0) / 1
print(">f4 through (x - 0) / 1:", run(ask, cured.astype("f4", copy=False)).tolist())
assert np.array_equal(run(ask, cured), numbers)
try:
    numpy_helper.from_array(swapped)
except ValueError as error:
    print("numpy_helper.from_array:", type(error).__name__)
else:
    raise SystemExit("onnx takes it now")
PY
