#!/usr/bin/env bash
# EXPECTED: shap.TreeExplainer(model, data, feature_perturbation="interventional") averages over the rows of data that it is given.
# SEEN: over a sample of 100 of them, without a warning: of 2,000 rows 1,900 do nothing. The base value is not the mean
#   prediction of the background, and contributions are off by up to a fifth of their spread. shap.maskers.Independent(data,
#   max_samples=len(data)) in the place of data takes all rows.
# WHY: more background is meant to give steadier values; the sums still equal the predictions, so that every check of additivity
#   passes.
# VERSIONS: shap 0.51.0, scikit-learn 1.8.0. Seen 2026-11-30.
# OUTPUT:
#   rows used: 100 of 2000, with the masker 2000
#   base value -0.157, with the masker -0.060; mean prediction of the background -0.060
#   contributions differ by up to 0.113; their standard deviation is 0.555
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 shap==0.51.0 scikit-learn==1.8.0
cd "$room"
"$room/venv/bin/python" - <<'PY'
import warnings

import numpy as np, shap
from sklearn.ensemble import GradientBoostingRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 4))
model = GradientBoostingRegressor(random_state=0).fit(X, X[:, 0] * X[:, 1] + X[:, 2])
with warnings.catch_warnings():
    warnings.simplefilter("error")
    given = shap.TreeExplainer(model, X, feature_perturbation="interventional")
every = shap.TreeExplainer(model, shap.maskers.Independent(X, max_samples=len(X)), feature_perturbation="interventional")
print(f"rows used: {len(given.data)} of {len(X)}, with the masker {len(every.data)}")
bases, mean = [float(np.ravel(e.expected_value)[0]) for e in (given, every)], model.predict(X).mean()
print(f"base value {bases[0]:.3f}, with the masker {bases[1]:.3f}; mean prediction of the background {mean:.3f}")
first, second = (e.shap_values(X[:20]) for e in (given, every))
gap = abs(first - second).max()
print(f"contributions differ by up to {gap:.3f}; their standard deviation is {second.std():.3f}")
assert len(given.data) == 100 and abs(bases[0] - mean) > 0.02 and gap > 0.02
assert len(every.data) == len(X) and abs(bases[1] - mean) < 1e-6, "the control is wrong"
PY
