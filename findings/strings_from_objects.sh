#!/usr/bin/env bash
# EXPECTED: a string input of an onnxruntime session takes text, and raises an error for bytes, None, NaN or numbers.
# SEEN: from an array of objects it takes whatever Python prints. b"a" becomes the four characters b'a', None "None", NaN
#   "nan" and 1.0 "1.0"; a category encoder then answers "unknown", or knows the word "nan" by chance.
# WHY: columns of databases, HDF5 and Parquet files come as bytes, with None or NaN where they are empty, and as floats where
#   integers had gaps. No error and no warning: every row is of the unknown category.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (what is fed: the strings that the model sees, their codes; -1 is unknown):
#   ['a', 'b']: ['a', 'b'], [0, 1]
#   [b'a', b'b']: ["b'a'", "b'b'"], [-1, -1]
#   [None, nan, 1.0]: ['None', 'nan', '1.0'], [-1, -1, -1]
#   [1, '1']: ['1', '1'], [2, 2]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h

onnxruntime.set_default_logger_severity(3)
encoder = h.make_node(
    "LabelEncoder", ["x"], ["code"], domain="ai.onnx.ml", keys_strings=["a", "b", "1"], values_int64s=[0, 1, 2], default_int64=-1)
outputs = [h.make_tensor_value_info("seen", T.STRING, ["n"]), h.make_tensor_value_info("code", T.INT64, ["n"])]
inputs = [h.make_tensor_value_info("x", T.STRING, ["n"])]
graph = h.make_graph([h.make_node("Identity", ["x"], ["seen"]), encoder], "g", inputs, outputs)
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("ai.onnx.ml", 4)], ir_version=10)
checker.check_model(model, full_check=True)
session = onnxruntime.InferenceSession(model.SerializeToString())

def codes(things):
    seen, code = session.run(None, {"x": np.array(things, object)})
    print(f"{things}: {seen.tolist()}, {code.tolist()}")
    return code.tolist()

assert codes(["a", "b"]) == [0, 1]
assert codes([b"a", b"b"]) == [-1, -1]
assert codes([None, float("nan"), 1.0]) == [-1, -1, -1]
assert codes([1, "1"]) == [2, 2]
PY
