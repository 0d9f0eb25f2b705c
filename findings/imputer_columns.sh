#!/usr/bin/env bash
# EXPECTED: the file of a pipeline that begins with SimpleImputer gives its columns to the next step as scikit-learn does.
# SEEN: two of its options change the number of columns in scikit-learn and not in the file. A column that had no number in
#   training is dropped by scikit-learn and kept by the file: a tree downstream reads the neighbour of each feature that it
#   means. `add_indicator=True` appends columns that tell what was missing; the file has none, and a linear model just leaves
#   their coefficients out.
# WHY: no error at conversion, loading or running. Sensors that were dead during training and "missing" as a signal are usual.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (predictions for the first four rows: scikit-learn / file):
#   empty column, dropped: [-0.36  0.65 -2.22 -0.36] / [2.88 2.88 2.88 2.88]
#   indicator: [ 4.74  0.72 -2.53  4.56] / [-0.26  0.72 -2.53 -0.44]
#   no empty column: [-0.36  0.65 -2.22 -0.36] / [-0.36  0.65 -2.22 -0.36]
#   no indicator: [ 1.83  2.63 -0.63  1.29] / [ 1.83  2.63 -0.63  1.29]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeRegressor

rng = np.random.default_rng(0)
numbers = rng.normal(size=(60, 4)).astype("f4")
empty, gaps = numbers.copy(), numbers.copy()
empty[:, 0] = np.nan
gaps[::3, 0] = np.nan

def agree(name, model, X, y):
    model.fit(X, y)
    ours = model.predict(X)
    theirs = onnxruntime.InferenceSession(to_onnx(model, X[:1]).SerializeToString()).run(None, {"X": X})[0].ravel()
    print(f"{name}: {np.array2string(ours[:4], precision=2)} / {np.array2string(theirs[:4], precision=2)}")
    return np.allclose(ours, theirs, atol=1e-3)

target, signal = 2 * numbers[:, 1], 2 * numbers[:, 1] + 5 * np.isnan(gaps[:, 0])
tree = DecisionTreeRegressor(max_depth=3, random_state=0)
assert not agree("empty column, dropped", make_pipeline(SimpleImputer(), tree), empty, target)
assert not agree("indicator", make_pipeline(SimpleImputer(add_indicator=True), LinearRegression()), gaps, signal)
assert agree("no empty column", make_pipeline(SimpleImputer(), tree), gaps, target)
assert agree("no indicator", make_pipeline(SimpleImputer(), LinearRegression()), gaps, signal)
PY
