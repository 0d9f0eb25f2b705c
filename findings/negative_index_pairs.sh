#!/usr/bin/env bash
# EXPECTED: x[rows, columns] with a column of -1 reads the last one, in the file as in torch.
# SEEN: torch's TorchScript exporter joins the two indices to row · columns + column of the flattened tensor, and -1 is the last
#   element of the row *above* then: of another sample, without an error. A negative index in the first place, and a single index
#   tensor, are right; the dynamo exporter is.
# WHY: x[arange(batch), position] is how the last token, or one class, of each sample is picked, and -1 is how "last" is said. A test
#   with one sample passes: the row above the first one is the last one.
# VERSIONS: torch 2.13.0, onnxscript 0.7.2, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (x holds 10 · sample + position, four positions; torch / TorchScript exporter / dynamo exporter):
#   3 samples, positions [-1, 2, -1]  [3.0, 12.0, 23.0] / [23.0, 12.0, 13.0] / [3.0, 12.0, 23.0]
#   3 samples, positions [3, 2, 3]    [3.0, 12.0, 23.0] / [3.0, 12.0, 23.0] / [3.0, 12.0, 23.0]
#   1 sample, position -1             [3.0] / [3.0] / [3.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - 2>/dev/null <<'PY'
import io
import numpy as np, onnxruntime, torch


class Pick(torch.nn.Module):
    def forward(self, x, position):
        return x[torch.arange(x.shape[0]), position]


def answers(name, positions):
    samples = len(positions)
    x = 10 * torch.arange(samples).float()[:, None] + torch.arange(4)
    given = (x, torch.tensor(positions))
    old = io.BytesIO()
    torch.onnx.export(Pick(), given, old, dynamo=False, opset_version=17)
    new = torch.onnx.export(Pick(), given, dynamo=True, verbose=False).model_proto.SerializeToString()
    found = [Pick()(*given).tolist()]
    for file in (old.getvalue(), new):
        session = onnxruntime.InferenceSession(file)
        feeds = {value.name: tensor.numpy() for value, tensor in zip(session.get_inputs(), given)}
        found.append(session.run(None, feeds)[0].tolist())
    print(f"{name:33s} {' / '.join(map(str, found))}", flush=True)
    return found


right, wrong, same = answers("3 samples, positions [-1, 2, -1]", [-1, 2, -1])
assert right == same == [3, 12, 23] and wrong == [23, 12, 13]
assert answers("3 samples, positions [3, 2, 3]", [3, 2, 3]) == [[3, 12, 23]] * 3
assert answers("1 sample, position -1", [-1]) == [[3]] * 3
PY
