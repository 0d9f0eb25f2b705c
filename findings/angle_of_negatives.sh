#!/usr/bin/env bash
# EXPECTED: atan2(0, -1) is pi, in an exported file, too, and atan2(0, 0) is 0.
# SEEN: both exporters of torch write it out with Atan and get the sign wrong on the negative axis: -pi for pi. At the origin the
#   TorchScript exporter's file answers NaN.
# WHY: a heading or phase of exactly half a turn (a real negative number, a box that points left) jumps by a whole turn; a zero
#   vector, such as padding, makes everything downstream NaN.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (torch / TorchScript exporter / dynamo exporter):
#   atan2(0, -1):  3.14 / -3.14 / -3.14
#   atan2(0, 0):   0.00 / nan / 0.00
#   atan2(1, -1):  2.36 / 2.36 / 2.36
#   atan2(-1, -1): -2.36 / -2.36 / -2.36
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

points = {"atan2(0, -1)": (0.0, -1.0), "atan2(0, 0)": (0.0, 0.0), "atan2(1, -1)": (1.0, -1.0), "atan2(-1, -1)": (-1.0, -1.0)}
y, x = (torch.tensor(v) for v in zip(*points.values()))
(ours, legacy), (_, modern) = (both(torch.atan2, y, x, dynamo=dynamo) for dynamo in (False, True))
for name, *found in zip(points, ours, legacy, modern):
    print(f"{name + ':':15s}{' / '.join(f'{v:.2f}' for v in found)}")
assert np.allclose(ours[:2], [np.pi, 0]) and np.allclose([legacy[0], modern[0]], -np.pi) and np.isnan(legacy[1]) and modern[1] == 0
assert np.allclose(ours[2:], legacy[2:], atol=1e-5) and np.allclose(ours[2:], modern[2:], atol=1e-5), "the control has changed"
PY
