#!/usr/bin/env bash
# EXPECTED: `session.run(["cheap"], ...)` computes what "cheap" needs; if not by itself, then with the documented
#   `RunOptions.only_execute_path_to_fetches = True` ("only execute the nodes needed by fetch list").
# SEEN: neither: every node of the file runs. The released packages take the option without a word and do nothing with it.
# WHY: a file with an expensive second output (an explanation, an embedding, a second head) costs its full price for every
#   prediction. What helps is to cut the file, or an If around the expensive part.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); onnxruntime-gpu 1.31.1 without a GPU likewise. Seen 2026-11-30.
# OUTPUT (processor time as a share of all outputs; "cheap" is 1 product of 31; the shares move by a few hundredths):
#   "cheap" fetched 1.00, with the option 1.00, from a file cut with onnx.utils.Extractor 0.04
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import time
import numpy as np, onnxruntime
from onnx import TensorProto as T, helper as h, numpy_helper as nh, utils

rng = np.random.default_rng(0)
weight = (rng.normal(size=(1000, 1000)) / 32).astype("f4")
steps = ["x", "cheap", *(f"step {k}" for k in range(29)), "dear"]
nodes = [h.make_node("MatMul", [source, "w"], [result]) for source, result in zip(steps, steps[1:])]
values = [h.make_tensor_value_info(name, T.FLOAT, ["n", 1000]) for name in ("x", "cheap", "dear")]
graph = h.make_graph(nodes, "g", values[:1], values[1:], [nh.from_array(weight, "w")])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
cut = utils.Extractor(model).extract_model(["x"], ["cheap"])
one_thread, path_only = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
one_thread.intra_op_num_threads = 1
path_only.only_execute_path_to_fetches = True
whole, part = (onnxruntime.InferenceSession(m.SerializeToString(), one_thread) for m in (model, cut))
x = rng.normal(size=(100, 1000)).astype("f4")

def seconds(session, names, options=None):
    start = time.process_time()
    session.run(names, {"x": x}, options)
    return time.process_time() - start

ways = [(whole, None), (whole, ["cheap"]), (whole, ["cheap"], path_only), (part, ["cheap"])]
everything, fetched, asked, extracted = np.array([[seconds(*way) for way in ways] for _ in range(15)]).min(0)
shares = [v / everything for v in (fetched, asked, extracted)]
print('"cheap" fetched {:.2f}, with the option {:.2f}, from a file cut with onnx.utils.Extractor {:.2f}'.format(*shares))
assert shares[0] > 0.6 and shares[1] > 0.6, "nodes that no fetched output needs are skipped now"
assert shares[2] < 0.3, "the control has changed"
PY
