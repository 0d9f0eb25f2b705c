#!/usr/bin/env bash
# EXPECTED: the second output of Dropout, its mask, tells what was kept: in inference everything.
# SEEN: onnxruntime's mask is all False up to opset 11 (0.0 in opset 7) and all True from opset 12 on. The reference evaluator
#   says True for all. Lifting the file by onnx's version converter turns the mask over.
# WHY: a graph that multiplies by the mask (as a backward pass in the file does) gives 0 in old files and the right numbers in
#   lifted ones.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (opset: kept numbers, mask by onnxruntime / by the reference evaluator / of the lifted file):
#   10: [5.0, 6.0], [False, False] / [True, True] / [True, True]
#   11: [5.0, 6.0], [False, False] / [True, True] / [True, True]
#   12: [5.0, 6.0], [True, True] / [True, True] / [True, True]
#   13: [5.0, 6.0], [True, True] / [True, True] / [True, True]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h, version_converter
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)
x = np.float32([5, 6])

def masks(opset):
    outputs = [h.make_tensor_value_info("y", T.FLOAT, [2]), h.make_tensor_value_info("mask", T.BOOL, [2])]
    graph = h.make_graph([h.make_node("Dropout", ["x"], ["y", "mask"])], "g", [h.make_tensor_value_info("x", T.FLOAT, [2])], outputs)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=6)
    lifted = version_converter.convert_version(model, 21)
    lifted.ir_version = 10
    for m in (model, lifted):
        checker.check_model(m, full_check=True)
    (y, theirs), (_, later) = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": x}) for m in (model, lifted))
    oracle = ReferenceEvaluator(model).run(None, {"x": x})[1]
    print(f"{opset}: {y.tolist()}, {theirs.tolist()} / {oracle.tolist()} / {later.tolist()}")
    assert np.array_equal(y, x) and oracle.all() and later.all()
    return theirs

assert not masks(10).any() and not masks(11).any()
assert masks(12).all() and masks(13).all()
PY
