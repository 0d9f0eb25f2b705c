#!/usr/bin/env bash
# EXPECTED: the file of a BaggingClassifier answers once for each row.
# SEEN: around an estimator without predict_proba, where scikit-learn lets the estimators vote, it answers once for each *estimator*:
#   the votes are counted along the wrong axis. Ten estimators give ten labels for one row, and for 150.
# WHY: a batch of as many rows as there are estimators (10 by default) has the right shape, and wrong labels.
# VERSIONS: skl2onnx 1.20.0, scikit-learn 1.8.0, onnx 1.23.2, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (the iris data; estimators 10):
#   LogisticRegression     1 rows: 1 labels, 1.0 of them as predict() says
#   LogisticRegression    10 rows: 10 labels, 1.0 of them as predict() says
#   LogisticRegression   150 rows: 150 labels, 1.0 of them as predict() says
#   RidgeClassifier        1 rows: 10 labels, not one a row
#   RidgeClassifier       10 rows: 10 labels, 0.4 of them as predict() says
#   RidgeClassifier      150 rows: 10 labels, not one a row
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier

x, y = load_iris(return_X_y=True)
x = x.astype("f4")


def look(estimator, rows):
    model = BaggingClassifier(estimator, n_estimators=10, random_state=0).fit(x, y)
    file = to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString()
    batch = x[:: 150 // rows][:rows]
    labels = onnxruntime.InferenceSession(file).run(None, {"X": batch})[0]
    agreed = f"{np.mean(labels == model.predict(batch)):.1f} of them as predict() says" if len(labels) == rows else "not one a row"
    print(f"{type(estimator).__name__:20s} {rows:3d} rows: {len(labels)} labels, {agreed}")
    return labels, model.predict(batch)


for rows in (1, 10, 150):
    assert np.array_equal(*look(LogisticRegression(max_iter=1000), rows))
for rows in (1, 10, 150):
    labels, right = look(RidgeClassifier(), rows)
    assert len(labels) == 10 and (rows != 10 or np.mean(labels == right) < 0.7)
PY
