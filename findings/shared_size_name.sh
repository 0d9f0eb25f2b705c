#!/usr/bin/env bash
# EXPECTED: two inputs declared [N] that are fed 3 rows and 1 row, which broadcasts, are either refused when the model is called, or
#   computed as in the reference evaluator.
# SEEN: onnxruntime checks no names of sizes. Some graphs compute the right numbers, others fail at a node in the middle: "Shape
#   mismatch attempting to re-use buffer". Values whose sizes have one name share memory, and which do depends on the graph: one more
#   Sin between input and sum, and it fails; with the names N and K it runs.
# WHY: an input with a default of one row (a threshold, a class) is easily declared with the batch's own name. It works in a first test
#   and with one row, and the error names neither input nor size, but an unnamed Add that has nothing wrong about it.
# VERSIONS: onnxruntime 1.32.0, onnx 1.23.2. Seen 2026-11-30.
# OUTPUT (rows fed: 3 and 1):
#   names N and N, chain of 0 after the second input: right
#   names N and N, chain of 2 after the second input: Shape mismatch attempting to re-use buffer. {1} != {3}
#   names N and K, chain of 2 after the second input: right
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import re

import numpy as np, onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

def model(length, names):
    chain = [helper.make_node("Sin", [f"t{i}"], [f"t{i + 1}"]) for i in range(length)]
    nodes = [*chain, helper.make_node("Add", ["x", f"t{length}"], ["a"]), helper.make_node("Cos", ["a"], ["y"])]
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [s]) for n, s in zip(("x", "t0"), names)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [names[0]])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

def answer(length, names, rows=3):
    built, feeds = model(length, names), {"x": np.arange(rows, dtype="f4"), "t0": np.float32([1])}
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        (y,) = onnxruntime.InferenceSession(built.SerializeToString(), options).run(None, feeds)
    except Exception as error:
        return re.search(r"Shape mismatch attempting to re-use buffer. \{1\} != \{3\}", str(error)).group()
    return "right" if np.allclose(y, ReferenceEvaluator(built).run(None, feeds)[0], atol=1e-6) else "wrong"

found = {}
for names, length in (("NN", 0), ("NN", 2), ("NK", 2)):
    found[names, length] = answer(length, names)
    print(f"names {names[0]} and {names[1]}, chain of {length} after the second input: {found[names, length]}")
assert answer(2, "NN", rows=1) == found["NN", 0] == found["NK", 2] == "right", "the control is wrong"
assert found["NN", 2].startswith("Shape mismatch")
PY
