#!/usr/bin/env bash
# EXPECTED: `scatter_reduce(..., reduce="mean")` exports as a mean, or not at all (ONNX's ScatterElements has no mean).
# SEEN: the dynamo exporter writes a ScatterElements with reduction "none": of the values that go to one place the last one stays,
#   without a warning. The TorchScript exporter refuses. "sum" is right.
# WHY: mean pooling of nodes by graph, of points by voxel or of words by sentence keeps one member of each; the shape is right,
#   and with one value a place, so are the numbers.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (1 and 3 go to place 0, 5 to place 1: torch / file):
#   mean:                    [2., 5.] / [3., 5.]
#   mean, the zero included: [1.33, 2.5 ] / [3., 5.]
#   sum:                     [4., 5.] / [4., 5.]
#   sum, the zero included:  [4., 5.] / [4., 5.]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
# On Linux this torch brings CUDA along; its build for processors will do, if PIP_EXTRA_INDEX_URL names an index that has it.
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import io, logging
import numpy as np, onnxruntime, torch

logging.disable(logging.WARNING)
onnxruntime.set_default_logger_severity(3)

class Wrapped(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)

def both(function, *inputs, dynamo):
    """What torch answers, and what the file says that one of the two exporters makes."""
    module, file = Wrapped(function).eval(), io.BytesIO()
    if dynamo:
        torch.onnx.export(module, inputs, dynamo=True, verbose=False).save("model.onnx")
    else:
        torch.onnx.export(module, inputs, file, dynamo=False, opset_version=17)
    session = onnxruntime.InferenceSession("model.onnx" if dynamo else file.getvalue())
    feed = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), inputs)}
    return function(*inputs).numpy(), session.run(None, feed)[0]

def show(numbers):
    return np.array2string(np.asarray(numbers).ravel(), precision=2, separator=", ", suppress_small=True)

place, zero, values = torch.tensor([0, 0, 1]), torch.zeros(2), torch.tensor([1.0, 3.0, 5.0])
for reduction in ("mean", "sum"):
    for itself in (False, True):
        function = lambda t, s: t.scatter_reduce(0, place, s, reduce=reduction, include_self=itself)
        ours, file = both(function, zero, values, dynamo=True)
        print(f"{reduction + (', the zero included' if itself else '') + ':':25s}{show(ours)} / {show(file)}")
        assert file.tolist() == ([3, 5] if reduction == "mean" else ours.tolist()) and ours.tolist() != [3, 5]
PY
