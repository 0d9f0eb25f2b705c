#!/usr/bin/env bash
# EXPECTED: a session for a Loop takes as long to create as one for the same nodes outside of it.
# SEEN: where the body reads constants of the graph around it, the time grows with the square of their number: 16,000 sums, each
#   with a constant of its own, take seven times as long in a Loop as outside, 32,000 sums thirteen times.
# WHY: exporters and tools put constants into the main graph, bodies read them from there, and the files are right: nothing but the
#   session's creation is slow. Constants held by the body itself cost nothing extra.
# VERSIONS: onnxruntime 1.32.0, onnx 1.23.2. Seen 2026-11-30.
# OUTPUT (seconds of processor time for InferenceSession; seconds differ from machine to machine, their growth does not):
#   2000 sums:   no loop 0.05, loop with outer constants 0.10, loop with constants inside 0.05
#   8000 sums:   no loop 0.34, loop with outer constants 1.81, loop with constants inside 0.35
#   16000 sums:  no loop 0.90, loop with outer constants 6.35, loop with constants inside 0.91
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import time

import numpy as np, onnxruntime
from onnx import TensorProto, helper

def value(name, kind=TensorProto.FLOAT, shape=(2,)):
    return helper.make_tensor_value_info(name, kind, shape)

def model(count, place):
    constants = [helper.make_tensor(f"c{i}", TensorProto.FLOAT, [2], [1, i]) for i in range(count)]
    chain = [helper.make_node("Add", [f"v{i}", f"c{i}"], [f"v{i + 1}"]) for i in range(count)]
    inputs, outputs = [value("v0")], [value(f"v{count}")]
    if place == "no loop":
        graph = helper.make_graph(chain, "g", inputs, outputs, constants)
    else:
        goes_on = helper.make_node("Identity", ["on"], ["still_on"])
        counters = [value("i", TensorProto.INT64, ()), value("on", TensorProto.BOOL, ())]
        still = value("still_on", TensorProto.BOOL, ())
        own = constants if place == "loop with constants inside" else []
        body = helper.make_graph([*chain, goes_on], "body", [*counters, *inputs], [still, *outputs], own)
        loop = helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)
        outer = [helper.make_tensor("trips", TensorProto.INT64, [], [1]), *([] if own else constants)]
        graph = helper.make_graph([loop], "g", [value("x")], [value("y")], outer)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()

def create(count, place):
    content, options = model(count, place), onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    start = time.process_time()
    session = onnxruntime.InferenceSession(content, options)
    seconds = time.process_time() - start
    (result,) = session.run(None, {session.get_inputs()[0].name: np.float32([0, 0])})
    assert result[0] == count, "the control is wrong"
    return seconds

for count in (2000, 8000, 16000):
    seconds = {place: create(count, place) for place in ("no loop", "loop with outer constants", "loop with constants inside")}
    print(f"{count} sums:".ljust(12), ", ".join(f"{place} {took:.2f}" for place, took in seconds.items()))
assert seconds["loop with outer constants"] > 3 * seconds["no loop"]
assert seconds["loop with constants inside"] < 2 * seconds["no loop"]
PY
