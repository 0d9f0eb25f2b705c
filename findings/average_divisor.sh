#!/usr/bin/env bash
# EXPECTED: AvgPool2d(2, divisor_override=1), a sum over windows, exports as a sum, or not at all (ONNX's AveragePool has no
#   divisor).
# SEEN: both exporters of torch drop the divisor without a word; the file answers the mean. Exporters of torch 2.0 refused it.
# WHY: sums over windows (counts, energies, sum pooling of a bag of features) are a quarter of themselves; nothing but the
#   scale is off, so arg max and pictures look right.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (torch / TorchScript exporter / dynamo exporter):
#   divisor 1:  [10., 18.] / [2.5, 4.5] / [2.5, 4.5]
#   no divisor: [2.5, 4.5] / [2.5, 4.5] / [2.5, 4.5]
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

x = torch.arange(8.0).reshape(1, 1, 2, 4)
for name, divisor, factor in (("divisor 1:", 1, 4), ("no divisor:", None, 1)):
    pool = torch.nn.AvgPool2d(2, divisor_override=divisor)
    (ours, legacy), (_, modern) = (both(pool, x, dynamo=dynamo) for dynamo in (False, True))
    print(f"{name:11s} {' / '.join(show(v) for v in (ours, legacy, modern))}")
    assert np.allclose(ours, factor * legacy) and np.array_equal(legacy, modern)
PY
