#!/usr/bin/env bash
# EXPECTED: a tree or forest of scikit-learn that was trained with NaN converts with the side that it learnt for missing values.
# SEEN: the file sends every NaN to the right. Where training had put it to the left, the other branch answers: a tree that is right
#   in all rows is right in 70 of 100 after conversion. A forest of extremely random trees likewise.
# WHY: scikit-learn's trees take NaN natively, the operator has an attribute for it (nodes_missing_value_tracks_true), and
#   converting gives no warning. If NaN happens to belong to the right, or rows are complete, all agree.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (share of right labels, scikit-learn / file; missing rows are of the left class, then of the right one):
#   DecisionTreeClassifier: 1.00 / 0.70, 1.00 / 1.00
#   RandomForestClassifier: 1.00 / 0.70, 1.00 / 1.00
#   ExtraTreesClassifier:   1.00 / 0.71, 1.00 / 1.00
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

def file_answers(model, X):
    options = {"zipmap": False} if hasattr(model, "classes_") else None
    session = onnxruntime.InferenceSession(to_onnx(model, X[:1], options=options).SerializeToString())
    return session.run(None, {"X": X})

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 2)).astype("f4")
large = (X[:, 0] > 0).astype(int)
missing = rng.random(400) < 0.3
X[missing, 0] = np.nan
settings = {"n_estimators": 20, "random_state": 0}
for model in (DecisionTreeClassifier(random_state=0), RandomForestClassifier(**settings), ExtraTreesClassifier(**settings)):
    found = []
    for label in (0, 1):
        y = np.where(missing, label, large)
        model.fit(X, y)
        found += [np.mean(model.predict(X) == y), np.mean(file_answers(model, X)[0] == y)]
        assert np.array_equal(file_answers(model, X[~missing])[0], model.predict(X[~missing])), "the control has changed"
    print("{:24s}{:.2f} / {:.2f}, {:.2f} / {:.2f}".format(type(model).__name__ + ":", *found))
    assert found[0] == found[2] == 1 and found[1] < 0.8
PY
