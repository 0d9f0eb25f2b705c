#!/usr/bin/env bash
# EXPECTED: CumSum sums from the front; the standard says so for a node without the attribute `reverse`, whose value is 0 then.
# SEEN: onnx2torch sums such a node from the back. It is right only where the file writes `reverse` out; NonZero comes with its axes
#   exchanged as well: one row an element, where ONNX has one row an axis.
# WHY: no exporter writes an attribute that has its default, so every cumulative sum is turned round. Explainers for torch (captum,
#   zennit) are run on such models; a position computed by CumSum of a mask, as in many text encoders, gives other embeddings.
# VERSIONS: onnx2torch 1.5.15, torch 2.13.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of x = [1, 2, 3, 4]; onnxruntime / onnx2torch):
#   CumSum, no attribute     [1.0, 3.0, 6.0, 10.0] / [10.0, 9.0, 7.0, 4.0]
#   CumSum, reverse = 0      [1.0, 3.0, 6.0, 10.0] / [1.0, 3.0, 6.0, 10.0]
#   file of torch's exporter [1.0, 3.0, 6.0, 10.0] / [10.0, 9.0, 7.0, 4.0]
#   NonZero of a 2 x 2 matrix [[0, 1, 1], [0, 0, 1]] / [[0, 0], [1, 0], [1, 1]]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
pip() { "$room/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 torchvision==0.28.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2 pillow
pip --no-deps onnx2torch==1.5.15
cd "$room"
"$room/venv/bin/python" -W ignore - 2>/dev/null <<'PY'
import sys, types
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("m"))
import io
import numpy as np, onnx, onnx2torch, onnxruntime, torch
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh

x = np.array([1, 2, 3, 4], "f4")


def compare(name, model, x):
    checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    right = session.run(None, {session.get_inputs()[0].name: x})[0]
    with torch.no_grad():
        found = onnx2torch.convert(model)(torch.from_numpy(x)).numpy()
    print(f"{name:24s} {right.tolist()} / {found.tolist()}")
    return right, found


def written(operator, kind, shapes, constants=(), **attributes):
    node = h.make_node(operator, ["x", *[c.name for c in constants]], ["y"], **attributes)
    ends = [h.make_tensor_value_info("x", T.FLOAT, shapes[0]), h.make_tensor_value_info("y", kind, shapes[1])]
    graph = h.make_graph([node], "g", ends[:1], ends[1:], list(constants))
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 14)], ir_version=8)


axis = [nh.from_array(np.array(0), "axis")]
right, wrong = compare("CumSum, no attribute", written("CumSum", T.FLOAT, ([4], [4]), axis), x)
assert np.array_equal(right, np.cumsum(x)) and np.array_equal(wrong, np.cumsum(x[::-1])[::-1])
right, same = compare("CumSum, reverse = 0", written("CumSum", T.FLOAT, ([4], [4]), axis, reverse=0), x)
assert np.array_equal(right, same)


class Sum(torch.nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 0)


file = io.BytesIO()
torch.onnx.export(Sum(), (torch.from_numpy(x),), file, dynamo=False, opset_version=14)
right, wrong = compare("file of torch's exporter", onnx.load_from_string(file.getvalue()), x)
assert np.array_equal(right, np.cumsum(x)) and np.array_equal(wrong, np.cumsum(x[::-1])[::-1])
matrix = np.array([[1, 0], [1, 1]], "f4")
right, wrong = compare("NonZero of a 2 x 2 matrix", written("NonZero", T.INT64, ([2, 2], [2, None])), matrix)
assert np.array_equal(right.T, wrong) and right.shape == (2, 3)
PY
