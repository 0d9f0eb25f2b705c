#!/usr/bin/env bash
# EXPECTED: a OneHotEncoder for the categories 1.0 and 2.0 with handle_unknown="ignore" gives a row of zeros for 1.7, in
#   scikit-learn and in its file.
# SEEN: the file cuts the fraction off first: a Cast to int64 comes before the encoder, so that 1.7 is category 1 and 2.9999
#   is 2. The converter refuses categories that have a fraction, but not an input of floats. An OrdinalEncoder's file knows
#   that 1.7 is unknown.
# WHY: 0.9999999, which is what arithmetic makes of a 1, is category 0 to the file and unknown to scikit-learn.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (of 1.0, 1.7 and 2.9999: scikit-learn / file):
#   OneHotEncoder: [[1, 0], [0, 0], [0, 0]] / [[1, 0], [1, 0], [0, 1]]
#   OrdinalEncoder: [[0], [-1], [-1]] / [[0], [-1], [-1]]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

training, rows = np.float32([[1], [2]]), np.float32([[1], [1.7], [2.9999]])

def answers(model):
    model.fit(training)
    file = to_onnx(model, training[:1])
    ours = model.transform(rows)
    theirs = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"X": rows})[0]
    print(f"{type(model).__name__}:", " / ".join(str(np.asarray(v, int).tolist()) for v in (ours, theirs)))
    return ours, theirs

ours, theirs = answers(OneHotEncoder(handle_unknown="ignore", sparse_output=False))
assert ours.tolist() == [[1, 0], [0, 0], [0, 0]] and theirs.tolist() == [[1, 0], [1, 0], [0, 1]]
ours, theirs = answers(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1))
assert ours.tolist() == theirs.tolist() == [[0], [-1], [-1]], "the control has changed"
PY
