#!/usr/bin/env bash
# EXPECTED: `interpolate(scale_factor=1.7)` samples at steps of 1/1.7 in torch, and so does its file, with antialiasing or without.
# SEEN: with `antialias=True` torch's dynamo exporter writes the output's size in the place of the factor. 7 elements times 1.7 are
#   11, so the file samples at steps of 7/11; without antialiasing the factor is kept. Where the product is whole, all agree.
# WHY: pictures are stretched by a few hundredths: the error grows along each axis, to half a pixel here.
# VERSIONS: torch 2.13.0 (processor), onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (the last numbers of a ramp from 0 to 6: torch / file):
#   1.7, antialias: [4.5 , 5.09, 5.68] / [4.91, 5.55, 6.  ]
#   1.7:            [4.5 , 5.09, 5.68] / [4.5 , 5.09, 5.68]
#   0.6, antialias: [2.  , 3.75, 5.25] / [2.08, 3.92, 5.48]
#   0.6:            [2.  , 3.67, 5.33] / [2.  , 3.67, 5.33]
#   2, antialias:   [5.25, 5.75, 6.  ] / [5.25, 5.75, 6.  ]
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

x = torch.arange(7.0).repeat(1, 1, 7, 1)
cases = (("1.7, antialias", 1.7, True), ("1.7", 1.7, False), ("0.6, antialias", 0.6, True), ("0.6", 0.6, False), ("2, antialias", 2.0, True))
for name, factor, antialias in cases:
    function = lambda t: torch.nn.functional.interpolate(t, scale_factor=factor, mode="bilinear", antialias=antialias)
    ours, file = (v[0, 0, 0] for v in both(function, x, dynamo=True))
    print(f"{name + ':':16s}{show(ours[-3:])} / {show(file[-3:])}")
    difference = abs(ours - file).max()
    assert difference > 0.1 if antialias and factor != 2 else difference < 1e-5
PY
