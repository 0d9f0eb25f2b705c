#!/usr/bin/env bash
# EXPECTED: the file of TunedThresholdClassifierCV answers with the label that `predict()` gives: its whole purpose is the threshold.
# SEEN: the file has the classifier inside and no threshold: labels are cut at 0.5. FixedThresholdClassifier is refused instead.
# WHY: the rare class that the threshold was tuned for is found half as often; probabilities agree, so a test of them passes.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT:
#   threshold 0.23; other labels 0.23; rare class found 0.79 / 0.37 (scikit-learn / file)
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.model_selection import TunedThresholdClassifierCV

def file_answers(model, X):
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    session = onnxruntime.InferenceSession(to_onnx(model, X[:1], options=options).SerializeToString())
    return session.run(None, {"X": X})

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 4)).astype("f4")
y = (X[:, 0] + rng.normal(size=400) > 1).astype(int)
model = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy").fit(X, y)
ours, (labels, probabilities) = model.predict(X), file_answers(model, X)
print(f"threshold {model.best_threshold_:.2f}; other labels {np.mean(ours != labels):.2f}; "
      f"rare class found {recall_score(y, ours):.2f} / {recall_score(y, labels):.2f} (scikit-learn / file)")
assert np.allclose(probabilities, model.predict_proba(X), atol=1e-5), "the control has changed"
assert np.array_equal(labels, probabilities.argmax(1)) and np.mean(ours != labels) > 0.1
PY
