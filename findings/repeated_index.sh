#!/usr/bin/env bash
# EXPECTED: `index_put(..., accumulate=True)` adds up what goes to one place, in the exported file, too.
# SEEN: the TorchScript exporter (`dynamo=False`) writes a scatter without a reduction and an addition: of the values for one place
#   the last one is added. For `index_add` the same exporter refuses repeated places or warns; here it does neither. `scatter_add`
#   of the same numbers is right, and so is the dynamo exporter.
# WHY: histograms, segment sums and message passing lose all but one neighbour; a test without a repeated index passes.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (1 and 2 go to place 0, 3 to place 1: torch / TorchScript exporter / dynamo exporter):
#   index_put:   [3., 3.] / [2., 3.] / [3., 3.]
#   scatter_add: [3., 3.] / [3., 3.] / [3., 3.]
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

place, zero, values = torch.tensor([0, 0, 1]), torch.zeros(2), torch.tensor([1.0, 2.0, 3.0])
cases = {
    "index_put": lambda t, s: t.index_put((place,), s, accumulate=True),
    "scatter_add": lambda t, s: t.scatter_add(0, place, s),
}
for name, function in cases.items():
    (ours, legacy), (_, modern) = (both(function, zero, values, dynamo=dynamo) for dynamo in (False, True))
    print(f"{name + ':':13s}{' / '.join(show(v) for v in (ours, legacy, modern))}")
    assert ours.tolist() == modern.tolist() == [3, 3] and legacy.tolist() == ([3, 3] if name == "scatter_add" else [2, 3])
PY
