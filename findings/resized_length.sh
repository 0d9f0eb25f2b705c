#!/usr/bin/env bash
# EXPECTED: the size that shape inference gives for a Resize by constant scales is the size that the runtime makes.
# SEEN: an axis of 3 resized by 5/3 has 4 elements to onnx's shape inference, to the reference evaluator and to onnxruntime
#   itself when asked for the shape of its output, and 5 when it runs: floor(3 * 1.6666666) where the product is rounded to
#   float32 first. So do 5 times 1.4, 10 times 0.7 and 3 times 7/3; not 5 times 1.2.
# WHY: buffers, and constants such as a weight or the shape of a Reshape that are made by the inferred size, do not fit.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (size and scale: inferred by onnx, by onnxruntime / made by the reference evaluator, by onnxruntime):
#   3 * 1.66667: 4, 4 / 4, 5
#   5 * 1.40000: 6, 6 / 6, 7
#   10 * 0.70000: 6, 6 / 6, 7
#   3 * 2.33333: 6, 6 / 6, 7
#   5 * 1.20000: 6, 6 / 6, 6
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)

def sizes(size, scale):
    x = np.arange(size, dtype="f4").reshape(1, 1, 1, size)
    values = [h.make_tensor_value_info("x", T.FLOAT, x.shape), h.make_tensor_value_info("y", T.FLOAT, list("abcd"))]
    constants = [nh.from_array(np.float32([1, 1, 1, scale]), "s")]
    graph = h.make_graph([h.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")], "g", values[:1], values[1:], constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 21)], ir_version=10)
    checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    made = session.run(None, {"x": x})[0].shape[-1]
    oracle = ReferenceEvaluator(model).run(None, {"x": x})[0].shape[-1]
    told = session.get_outputs()[0].shape[-1]
    print(f"{size} * {scale:.5f}: {inferred}, {told} / {oracle}, {made}")
    assert told == inferred == oracle
    return inferred, made

assert sizes(3, 5 / 3) == (4, 5)
assert sizes(5, 1.4) == (6, 7)
assert sizes(10, 0.7) == (6, 7)
assert sizes(3, 7 / 3) == (6, 7)
assert sizes(5, 1.2) == (6, 6)
PY
