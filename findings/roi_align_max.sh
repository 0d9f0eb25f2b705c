#!/usr/bin/env bash
# EXPECTED: RoiAlign with mode "max" takes the largest of the sampled values, each of them interpolated, as the standard's
#   text says and as mode "avg" does.
# SEEN: onnxruntime and onnx's reference evaluator do not interpolate: they weight the four corners of a sample and take the
#   largest of these products. The middle of [[1, 2], [3, 10]] is 2.5 (a quarter of 10), that of four times 8 is 2. OpenVINO
#   gives 4 and 8.
# WHY: maximum pooling of a constant picture is a quarter of it, and half of it between two pixels: one file detects
#   differently in two runtimes, and the oracle sides with the doubtful one.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor), openvino 2026.4.1. Seen 2026-11-30.
# OUTPUT (one sample in the middle of a picture of four pixels: onnxruntime / reference evaluator / OpenVINO):
#   max of [[1, 2], [3, 10]]: 2.5 / 2.5 / 4.0
#   max of [[8, 8], [8, 8]]: 2.0 / 2.0 / 8.0
#   avg of [[1, 2], [3, 10]]: 4.0 / 4.0 / 4.0
#   avg of [[8, 8], [8, 8]]: 8.0 / 8.0 / 8.0
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime, openvino
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh
from onnx.reference import ReferenceEvaluator

onnxruntime.set_default_logger_severity(3)

def middle(mode, picture):
    x = np.float32(picture)[None, None]
    node = h.make_node(
        "RoiAlign", ["X", "box", "batch"], ["y"], mode=mode, output_height=1, output_width=1, sampling_ratio=1,
        spatial_scale=1.0, coordinate_transformation_mode="output_half_pixel")
    constants = [nh.from_array(np.float32([[0, 0, 1, 1]]), "box"), nh.from_array(np.int64([0]), "batch")]
    values = [h.make_tensor_value_info("X", T.FLOAT, x.shape), h.make_tensor_value_info("y", T.FLOAT, [1, 1, 1, 1])]
    graph = h.make_graph([node], "g", values[:1], values[1:], constants)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 16)], ir_version=8)
    checker.check_model(model, full_check=True)
    onnx.save(model, "roi.onnx")
    answers = [
        onnxruntime.InferenceSession("roi.onnx").run(None, {"X": x})[0].item(), ReferenceEvaluator(model).run(None, {"X": x})[0].item(),
        openvino.compile_model("roi.onnx", "CPU")(x)[0].item()]
    print(f"{mode} of {picture}: {' / '.join(map(str, answers))}")
    return answers

assert middle("max", [[1, 2], [3, 10]]) == [2.5, 2.5, 4]
assert middle("max", [[8, 8], [8, 8]]) == [2, 2, 8]
assert middle("avg", [[1, 2], [3, 10]]) == [4, 4, 4]
assert middle("avg", [[8, 8], [8, 8]]) == [8, 8, 8]
PY
