#!/usr/bin/env bash
# EXPECTED: an initializer that the graph lists as an input, too, is a default: a caller may feed another value (from IR version 4
#   on ONNX says so), and Python's onnxruntime takes it. A feed that a session cannot use is an error.
# SEEN: onnxruntime-node does not list such an input and drops what is fed for it: the default is computed with, no error, no
#   warning. Any name that is not an input is dropped likewise, so a misspelt optional input does not show either.
# WHY: thresholds, temperatures and class numbers with a default answer for the default whatever a user asks for.
# VERSIONS: onnxruntime-node 1.30.0 (Node.js 20), onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of x = [1, 2] and a factor k that is 2 by default; k not fed / k = 10):
#   Python:  [2, 4] / [10, 20]
#   Node.js: [2, 4] / [2, 4], with "misspelt" fed [2, 4]; inputs listed: ["x"]
set -euo pipefail
command -v node >/dev/null && command -v npm >/dev/null || { echo "This finding needs Node.js 20 or newer with npm." >&2; exit 2; }
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
# The package's install script only fetches files for GPUs.
npm install --silent --no-audit --no-fund --ignore-scripts onnxruntime-node@1.30.0 >/dev/null
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto as T, checker, helper as h, numpy_helper as nh

onnxruntime.set_default_logger_severity(3)
values = [h.make_tensor_value_info(name, T.FLOAT, [2]) for name in "xky"]
graph = h.make_graph([h.make_node("Mul", ["x", "k"], ["y"])], "g", values[:2], values[2:], [nh.from_array(np.full(2, 2, "f4"), "k")])
model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
checker.check_model(model, full_check=True)
onnx.save(model, "model.onnx")
session, x = onnxruntime.InferenceSession("model.onnx"), np.array([1, 2], "f4")
default, fed = (session.run(None, {"x": x, **more})[0].astype(int).tolist() for more in ({}, {"k": np.full(2, 10, "f4")}))
print(f"Python:  {default} / {fed}")
assert default == [2, 4] and fed == [10, 20]
PY
cat > run.js <<'JS'
const assert = require("assert"), ort = require("onnxruntime-node");
(async () => {
  const session = await ort.InferenceSession.create("model.onnx", { logSeverityLevel: 3 });
  const [x, k] = [[1, 2], [10, 10]].map((numbers) => new ort.Tensor("float32", numbers, [2]));
  const answer = async (feeds) => Array.from((await session.run(feeds)).y.data);
  const [silent, fed, misspelt] = [await answer({ x }), await answer({ x, k }), await answer({ x, misspelt: k })];
  const show = (numbers) => `[${numbers.join(", ")}]`;
  console.log(`Node.js: ${show(silent)} / ${show(fed)}, with "misspelt" fed ${show(misspelt)}; inputs listed: ${JSON.stringify(session.inputNames)}`);
  for (const numbers of [silent, fed, misspelt]) assert.deepStrictEqual(numbers, [2, 4]);
})();
JS
node run.js
