#!/usr/bin/env bash
# EXPECTED: `a // b` and `a >> 1` on integers round down in torch, and so does the exported file.
# SEEN: torch's TorchScript exporter (`dynamo=False`) writes a division that rounds towards 0: -7 // 2 is -4 in torch and -3 in the
#   file. `torch.floor_divide` of floats likewise. The dynamo exporter writes it right, and both write
#   `torch.div(a, b, rounding_mode="floor")` right.
# WHY: relative positions, buckets and coordinates around a centre are negative half the time; no warning, right shape, and on
#   numbers that are not negative all agree.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of -7, 7, -1: torch / TorchScript exporter / dynamo exporter; that one refuses >>):
#   a // 2:    [-4,  3, -1] / [-3,  3,  0] / [-4,  3, -1]
#   a // 2.0:  [-4.,  3., -1.] / [-3.,  3.,  0.] / [-4.,  3., -1.]
#   a >> 1:    [-4,  3, -1] / [-3,  3,  0]
#   div floor: [-4,  3, -1] / [-4,  3, -1] / [-4,  3, -1]
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

a = torch.tensor([-7, 7, -1])
down, towards_zero = [-4, 3, -1], [-3, 3, 0]
cases = {
    "a // 2:": (lambda t: t // 2, a, (False, True), towards_zero),
    "a // 2.0:": (lambda t: torch.floor_divide(t, 2.0), a.float(), (False, True), towards_zero),
    "a >> 1:": (lambda t: t >> 1, a, (False,), towards_zero),
    "div floor:": (lambda t: torch.div(t, 2, rounding_mode="floor"), a, (False, True), down),
}
for name, (function, numbers, exporters, legacy) in cases.items():
    found = [both(function, numbers, dynamo=dynamo) for dynamo in exporters]
    print(f"{name:10s} {' / '.join(show(v) for v in (found[0][0], *(file for _, file in found)))}")
    assert found[0][0].tolist() == down and found[0][1].tolist() == legacy
    assert len(found) == 1 or found[1][1].tolist() == down
PY
