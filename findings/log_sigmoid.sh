#!/usr/bin/env bash
# EXPECTED: logsigmoid(x) is x for x far below 0, in the file as in torch, which computes it without the sigmoid.
# SEEN: both exporters of torch write Log(Sigmoid(x)): -14.84 for -15, and -inf for -20. logaddexp of the dynamo exporter is
#   Log(Exp(a) + Exp(b)): inf for two values of 90. Softplus is right in both, and -Softplus(-x) is the same function.
# WHY: log-probabilities are compared and summed far from 0: scores of pairs (retrieval, preference models), losses, sums over time.
#   One -inf decides a sum, several of them cannot be ranked; a test with random logits passes.
# VERSIONS: torch 2.13.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (torch / TorchScript exporter / dynamo exporter; the last line torch / dynamo exporter):
#   logsigmoid(x)   [-60.0, -20.0, -15.0, -2.13, -0.31] / [-inf, -inf, -14.84, -2.13, -0.31] / [-inf, -inf, -14.84, -2.13, -0.31]
#   -softplus(-x)   [-60.0, -20.0, -15.0, -2.13, -0.31] / [-60.0, -20.0, -15.0, -2.13, -0.31] / [-60.0, -20.0, -15.0, -2.13, -0.31]
#   logaddexp(x, x) [1.69, 90.69] / [1.69, inf]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - 2>/dev/null <<'PY'
import io
import numpy as np, onnxruntime, torch
from torch.nn.functional import logsigmoid, softplus


class Model(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def answers(name, function, x, old=True):
    x = torch.tensor(x)
    model, found = Model(function), [function(x).numpy()]
    files = []
    if old:
        file = io.BytesIO()
        torch.onnx.export(model, (x,), file, dynamo=False, opset_version=17)
        files.append(file.getvalue())
    files.append(torch.onnx.export(model, (x,), dynamo=True, verbose=False).model_proto.SerializeToString())
    for file in files:
        session = onnxruntime.InferenceSession(file)
        found.append(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
    print(f"{name:15s} {' / '.join(str(np.round(y.astype(float), 2).tolist()) for y in found)}", flush=True)
    return found


x = [-60.0, -20.0, -15.0, -2.0, 1.0]
right, *wrong = answers("logsigmoid(x)", logsigmoid, x)
for answer in wrong:
    assert np.isneginf(answer[:2]).all() and abs(answer[2] + 15) > 0.1 and np.allclose(answer[3:], right[3:], atol=1e-5)
right, *same = answers("-softplus(-x)", lambda x: -softplus(-x), x)
assert all(np.allclose(answer, right, atol=1e-5) for answer in same)
right, wrong = answers("logaddexp(x, x)", lambda x: torch.logaddexp(x, x), [1.0, 90.0], old=False)
assert np.isfinite(right).all() and np.isposinf(wrong[1]) and np.isclose(wrong[0], right[0])
PY
