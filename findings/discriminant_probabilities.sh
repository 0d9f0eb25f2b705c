#!/usr/bin/env bash
# EXPECTED: the file of LinearDiscriminantAnalysis with two classes gives the probabilities of predict_proba().
# SEEN: it gives the sigmoid of *twice* the discriminant: the two columns -s and s pass through a softmax. 0.9 becomes 0.99,
#   labels stay. With three classes, and for QuadraticDiscriminantAnalysis, the probabilities are right.
# WHY: labels and ranks agree, so a comparison by accuracy or by the area under the curve passes; thresholds, costs and
#   calibration are wrong, and so is an explanation that sums to the log-odds.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (probability of the last class for the first three rows: predict_proba() / file):
#   LinearDiscriminantAnalysis, 2 classes: [0.581 0.589 0.816] / [0.657 0.673 0.952]
#   LinearDiscriminantAnalysis, 3 classes: [0.41  0.406 0.603] / [0.41  0.406 0.603]
#   QuadraticDiscriminantAnalysis, 2 classes: [0.585 0.599 0.751] / [0.585 0.599 0.751]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3)).astype("f4")
noisy = X[:, 0] + rng.normal(size=200)

def answers(model, classes):
    """Print and give both probabilities of the last class, and the discriminant."""
    model.fit(X, np.digitize(noisy, [0] if classes == 2 else [-0.5, 0.5]))
    file = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
    label, scores = onnxruntime.InferenceSession(file).run(None, {"X": X})
    assert (label == model.predict(X)).all()
    ours, theirs = model.predict_proba(X)[:, -1], scores[:, -1]
    name = f"{type(model).__name__}, {classes} classes"
    print(f"{name}: {np.array2string(ours[:3], precision=3)} / {np.array2string(theirs[:3], precision=3)}")
    return ours, theirs, model.decision_function(X)

ours, theirs, discriminant = answers(LinearDiscriminantAnalysis(), 2)
assert np.allclose(ours, 1 / (1 + np.exp(-discriminant))) and np.allclose(theirs, 1 / (1 + np.exp(-2 * discriminant)), atol=1e-5)
for model, classes in ((LinearDiscriminantAnalysis(), 3), (QuadraticDiscriminantAnalysis(), 2)):
    ours, theirs, _ = answers(model, classes)
    assert np.allclose(ours, theirs, atol=1e-5), "the control has changed"
PY
