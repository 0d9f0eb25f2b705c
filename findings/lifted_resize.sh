#!/usr/bin/env bash
# EXPECTED: onnx.version_converter either keeps what a model computes or raises an error.
# SEEN: lifted to opset 21, Resize of opset 10 and Upsample of opset 9 give other numbers without a word. They placed a pixel
#   at x_new / scale; Resize of today, unless an attribute says otherwise, at the middle of the pixel, and the converter adds
#   no attribute. Hardmax of opset 11 had one 1 in all that follows its axis; lifted it has one a row. Softmax, which changed
#   in the same way and at the same opset, is lifted rightly, and nearest neighbours at a whole factor come out alike by luck.
# WHY: files have to be lifted before tools take them; a detector or a segmenter with bilinear steps is shifted by part of a
#   pixel in every one of them, and still looks right.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (operator and opset: before / after):
#   Resize-10 linear 2.0: [0.  0.5 1.  1. ] / [0.   0.25 0.75 1.  ]
#   Upsample-9 linear 2.0: [0.  0.5 1.  1. ] / [0.   0.25 0.75 1.  ]
#   Resize-10 linear 0.5: [0. 2.] / [0.5 2.5]
#   Resize-10 nearest 0.4: [0. 3.] / [1. 3.]
#   Resize-10 nearest 2.0: [0. 0. 1. 1.] / [0. 0. 1. 1.]
#   Hardmax-11: [0. 0. 1. 0.] / [0. 1. 1. 0.]
#   Softmax-11: [0.03 0.09 0.64 0.24] / [0.03 0.09 0.64 0.24]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh, version_converter

onnxruntime.set_default_logger_severity(3)

def answers(opset, x, op, scale=None, **attributes):
    """Run a node as written and as lifted to opset 21, and print both."""
    x = np.float32(x)
    x = x.reshape(1, 1, 1, -1) if scale else x[None]
    constants = [nh.from_array(np.float32([1, 1, 1, scale]), "s")] if scale else []
    node = h.make_node(op, ["x", "s"] if scale else ["x"], ["y"], **attributes)
    values = [h.make_tensor_value_info("x", T.FLOAT, x.shape), h.make_tensor_value_info("y", T.FLOAT, list("abcd")[:x.ndim])]
    graph = h.make_graph([node], "g", values[:1], values[1:], constants)
    old = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=6)
    new = version_converter.convert_version(old, 21)
    new.ir_version = 10
    for model in (old, new):
        checker.check_model(model, full_check=True)
    before, after = (onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": x})[0].ravel() for m in (old, new))
    name = " ".join(map(str, [f"{op}-{opset}", *attributes.values(), *([scale] if scale else [])]))
    print(f"{name}: {np.array2string(before, precision=2)} / {np.array2string(after, precision=2)}")
    return np.allclose(before, after)

assert not answers(10, [0, 1], "Resize", 2.0, mode="linear")
assert not answers(9, [0, 1], "Upsample", 2.0, mode="linear")
assert not answers(10, [0, 1, 2, 3], "Resize", 0.5, mode="linear")
assert not answers(10, [0, 1, 2, 3, 4], "Resize", 0.4, mode="nearest")
assert answers(10, [0, 1], "Resize", 2.0, mode="nearest")
assert not answers(11, [[1, 2], [4, 3]], "Hardmax")
assert answers(11, [[1, 2], [4, 3]], "Softmax")
PY
