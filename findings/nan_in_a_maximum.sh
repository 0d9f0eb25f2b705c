#!/usr/bin/env bash
# EXPECTED: the maximum of numbers with a NaN among them is NaN, or at least the maximum of the others, wherever the NaN
#   stands.
# SEEN: onnxruntime's ReduceMax is NaN only if the NaN comes first; of [1, NaN, 3, 4] it may be 3, neither of the two
#   (that depends on the length and on the processor's vector instructions). Hardmax points at the same number. ArgMax
#   passes over a NaN unless it comes first, so ReduceMax is not the element that ArgMax names. MaxPool is NaN for some places
#   and not for others, and never in onnx's reference evaluator. The elementwise Max and TopK give NaN in both.
# WHY: a NaN is lost on the way through a pooling or a maximum, so that looking for NaN in the outputs finds nothing.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (of [NaN, 2, 3, 4] / [1, NaN, 3, 4] / [1, 2, 3, NaN]; reference evaluator in brackets):
#   ReduceMax: nan / 3.0 / 3.0  (nan / nan / nan)
#   MaxPool: 4.0 / 4.0 / nan  (4.0 / 4.0 / 3.0)
#   ArgMax: 0.0 / 3.0 / 2.0  (0.0 / 1.0 / 3.0)
#   Hardmax: 0.0 / 2.0 / 2.0  (0.0 / 1.0 / 3.0)
#   TopK: nan / nan / nan  (nan / nan / nan)
#   Max: nan / nan / nan  (nan / nan / nan)
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
rows = []
for place in (0, 1, 3):
    rows.append(np.float32([[[1, 2, 3, 4]]]))
    rows[-1][..., place] = np.nan
constants = [nh.from_array(np.int64([2]), "axis"), nh.from_array(np.int64([1]), "one"), nh.from_array(np.float32([0]), "zero")]

def answers(op, others=(), **attributes):
    """Run one operator on the rows; Hardmax gives the place of its 1, Max the largest of its elements by numpy."""
    outputs = [h.make_tensor_value_info("y", T.INT64 if op == "ArgMax" else T.FLOAT, list("abc"))]
    node = h.make_node(op, ["x", *others], ["y", "indices"] if op == "TopK" else ["y"], **attributes)
    graph = h.make_graph([node], "g", [h.make_tensor_value_info("x", T.FLOAT, [1, 1, 4])], outputs, [c for c in constants if c.name in others])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    session, oracle = onnxruntime.InferenceSession(model.SerializeToString()), ReferenceEvaluator(model)
    both = [[run(["y"], {"x": x})[0].ravel() for x in rows] for run in (session.run, oracle.run)]
    reduce = np.argmax if op == "Hardmax" else np.max
    theirs, ours = ([float(reduce(y)) for y in ys] for ys in both)
    print(f"{op}: {' / '.join(map(str, theirs))}  ({' / '.join(map(str, ours))})")
    return theirs, ours

theirs, ours = answers("ReduceMax", ["axis"])
assert np.isnan(theirs[0]) and theirs[1] in (3, 4) and theirs[2] == 3 and np.isnan(ours).all()
theirs, ours = answers("MaxPool", kernel_shape=[4])
assert 0 < np.isnan(theirs).sum() < 3 and ours == [4, 4, 3]
theirs, ours = answers("ArgMax", axis=-1)
assert theirs == [0, 3, 2] and ours == [0, 1, 3]
theirs, ours = answers("Hardmax")
assert theirs[0] == 0 and theirs[1] in (2, 3) and theirs[2] == 2 and ours == [0, 1, 3]
for op, others in (("TopK", ["one"]), ("Max", ["zero"])):
    theirs, ours = answers(op, others)
    assert np.isnan(theirs + ours).all(), "the control has changed"
PY
