#!/usr/bin/env bash
# EXPECTED: scikit-learn's HistGradientBoosting, which skl2onnx supports, converts; the other boosting estimator does.
# SEEN: with protobuf 7 the conversion ends in an error; with protobuf 6 the same call gives a file. skl2onnx writes the
#   estimator's booleans (does a missing value go left?) into a list of whole numbers, and protobuf 7 takes no booleans there.
# WHY: onnx and skl2onnx both allow protobuf 7, and pip installs it, so an export that ran for years ends without any change to
#   the three packages that one would suspect. The message prints all of the trees, and the reason only as its cause.
# VERSIONS: scikit-learn 1.9.1, skl2onnx 1.20.0, onnx 1.23.2, protobuf 7.36.2 and 6.33.1. Seen 2026-11-30.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
pip() { "$room/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip numpy==2.4.6 scikit-learn==1.9.1 skl2onnx==1.20.0 onnx==1.23.2
cd "$room"
cat > look.py <<'PY'
import numpy as np
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from skl2onnx import to_onnx

X = np.random.default_rng(0).normal(size=(200, 3)).astype("f4")
y = (X.sum(1) > 0).astype(int)
for kind in (GradientBoostingClassifier, HistGradientBoostingClassifier):
    try:
        seen = f"a file of {len(to_onnx(kind().fit(X, y), X[:1]).graph.node)} nodes"
    except Exception as error:
        seen = f"{type(error.__cause__).__name__}: {error.__cause__}"
    print(f"{kind.__name__:31s} {seen}")
PY
for protobuf in 7.36.2 6.33.1; do
  pip "protobuf==$protobuf"
  echo "protobuf $protobuf"
  "$room/venv/bin/python" -W ignore look.py
done | tee seen
[ "$(grep -c 'a file' seen)" = 3 ] && grep -q "Hist.*got a boolean" seen
