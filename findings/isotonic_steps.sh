#!/usr/bin/env bash
# EXPECTED: isotonic calibration is a piecewise linear curve in scikit-learn (between the points that it was fitted to), and so it is
#   in the file.
# SEEN: the file has steps: between two points it answers the value of one of them, up to 0.25 off. Sigmoid calibration is right.
# WHY: calibrated probabilities are what thresholds and expected costs are computed from. Flat parts agree, so the mean difference
#   is small and few labels change; near a threshold in a steep part, the decision does.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (probabilities along the steepest part, scikit-learn / file; largest difference):
#   isotonic: [0.18, 0.21, 0.23, 0.26, 0.29, 0.31] / [0. , 0. , 0. , 0.5, 0.5, 0.5]; 0.25
#   sigmoid:  [0.32, 0.33, 0.33, 0.33, 0.33, 0.33] / [0.32, 0.33, 0.33, 0.33, 0.33, 0.33]; 0.00
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression

def file_answers(model, X):
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    session = onnxruntime.InferenceSession(to_onnx(model, X[:1], options=options).SerializeToString())
    return session.run(None, {"X": X})

rng = np.random.default_rng(0)
X, line = rng.normal(size=(20, 1)).astype("f4"), np.linspace(-0.7, -0.5, 201, dtype="f4").reshape(-1, 1)
y = (X[:, 0] + 0.7 * rng.normal(size=20) > 0).astype(int)
differences = {}
for method in ("isotonic", "sigmoid"):
    model = CalibratedClassifierCV(LogisticRegression(), method=method, ensemble=False).fit(X, y)
    ours, file = model.predict_proba(line)[:, 1], file_answers(model, line)[1][:, 1]
    differences[method] = abs(ours - file).max()
    texts = [np.array2string(v[60:81:4], precision=2, separator=", ", suppress_small=True) for v in (ours, file)]
    print(f"{method + ':':10s}{' / '.join(texts)}; {differences[method]:.2f}")
assert differences["isotonic"] > 0.15 and differences["sigmoid"] < 1e-5
PY
