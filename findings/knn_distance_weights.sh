#!/usr/bin/env bash
# EXPECTED: skl2onnx keeps weights="distance" of nearest neighbours: a near neighbour counts more, an exact match decides.
# SEEN: for two or more neighbours the file answers as weights="uniform" would, to the last digit. The node that computes
#   weights is there (Max with 1e-6, Reciprocal), but the distances reach it with a minus sign, so all become 1e-6.
# WHY: the option is not refused and the graph looks right. A training row asked for again does not get its own value.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30 (with scikit-learn 1.9.1 as well).
# OUTPUT:
#   2 neighbours: predict() [ 0.   2.5 12.5 30. ]  file [ 5.  5. 15. 30.]  uniform [ 5.  5. 15. 30.]
#   3 neighbours: predict() [ 0.    4.19 10.87 26.  ]  file [10.   10.   10.   23.33]  uniform [10.   10.   10.   23.33]
#   classes: predict() [0 0 1 1]  file [1 1 1 1]; a training row's probability: 1.0 in file 0.333
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

x, y = np.float32([[0], [1], [2], [4]]), np.float32([0, 10, 20, 40])
asked = np.float32([[0], [0.25], [1.25], [3]])

def file_answers(model, **options):
    return onnxruntime.InferenceSession(to_onnx(model, x, **options).SerializeToString()).run(None, {"X": asked})

for k in (2, 3):
    near = KNeighborsRegressor(k, weights="distance").fit(x, y)
    even = KNeighborsRegressor(k, weights="uniform").fit(x, y)
    given = file_answers(near)[0][:, 0]
    print(f"{k} neighbours: predict() {near.predict(asked).round(2)}  file {given.round(2)}  uniform {even.predict(asked).round(2)}")
    assert np.allclose(given, even.predict(asked)) and not np.allclose(given, near.predict(asked))
    assert np.allclose(file_answers(even)[0][:, 0], even.predict(asked))

vote = KNeighborsClassifier(3, weights="distance").fit(x, [0, 1, 1, 0])
label, p = file_answers(vote, options={"zipmap": False})
print(f"classes: predict() {vote.predict(asked)}  file {label}; a training row's probability: {vote.predict_proba(asked)[0, 0]} in file {p[0, 0]:.3f}")
assert (label != vote.predict(asked)).sum() == 2 and np.allclose(p[0], [1 / 3, 2 / 3])
PY
