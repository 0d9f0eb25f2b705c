#!/usr/bin/env bash
# EXPECTED: `torch.cdist(a, b, p=1)` exports as the sum of absolute differences, as it is in torch.
# SEEN: the TorchScript exporter (`dynamo=False`) leaves the absolute value out: differences of 3 and -4 are at the distance 1, not
#   7, and NaN where the first is below the second. p = 3: 3.33 for 4.5, p = infinity: 1 for 4. `pairwise_distance` likewise.
#   Only p = 2, the default, is right.
# WHY: nearest centres and prototypes by the Manhattan distance change, with no warning. For a finite p the numbers are right
#   where no difference is negative, as in many a test.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (distances of [0, 0] to [3, -4], [1, 1] and [-1, -1]: torch / file):
#   p = 1    [7., 2., 2.] / [ 1., nan,  2.]
#   p = 3    [4.5 , 1.26, 1.26] / [3.33,  nan, 1.26]
#   p = inf  [4., 1., 1.] / [1., 1., 1.]
#   p = 2    [5.  , 1.41, 1.41] / [5.  , 1.41, 1.41]
#   pairwise, p = 1: [7., 2., 2.] / [ 1., nan,  2.]
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

a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, -4.0], [1.0, 1.0], [-1.0, -1.0]])
for p in (1.0, 3.0, float("inf"), 2.0):
    found = both(lambda s, t: torch.cdist(s, t, p=p), a, b, dynamo=False)
    print(f"p = {p:<4g} {' / '.join(show(v) for v in found)}")
    same = np.allclose(*found, atol=1e-3)
    assert same == (p == 2)
found = both(lambda s, t: torch.nn.functional.pairwise_distance(s, t, p=1.0), b * 0, b, dynamo=False)
print(f"pairwise, p = 1: {' / '.join(show(v) for v in found)}")
assert not np.allclose(*found, atol=1e-3)
PY
