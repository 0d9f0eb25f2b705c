#!/usr/bin/env bash
# EXPECTED: hummingbird.ml.convert(model, "torch", x).predict(x) is model.predict(x), or it refuses the model.
# SEEN: it drops what lies outside of the plain trees: the logarithm of LightGBM's and scikit-learn's Poisson objectives, the mean over
#   the trees of LightGBM's rf (the sum instead), linear leaves, the names of LightGBM's classes, and the side on which a tree has
#   learnt to look for missing values. GradientBoosting's exponential loss gets other labels. No error, no warning.
# WHY: the tensors are what is deployed, compiled and differentiated through. Where the step is monotone, ranks agree.
# VERSIONS: hummingbird-ml 0.4.12, torch 2.13.0, lightgbm 4.7.0, scikit-learn 1.8.0, numpy 2.4.6. Seen 2026-11-30.
# OUTPUT (share of the rows that agree; prediction of the first row by the model / by hummingbird):
#   LightGBM                             1.00  2.62 / 2.62
#   LightGBM, poisson                    0.00  2.29 / 0.83
#   LightGBM, rf                         0.00  2.87 / 28.74
#   LightGBM, linear_tree                0.02  2.55 / 2.53
#   LightGBM, missing values             0.60  1.91 / 2.67
#   LightGBM, classes 3 and 5            0.00  5.00 / 1.00
#   HistGradientBoosting                 1.00  2.59 / 2.59
#   HistGradientBoosting, poisson        0.00  2.54 / 0.93
#   HistGradientBoosting, missing values 0.58  1.90 / 2.65
#   decision tree, missing values        0.58  2.82 / 4.57
#   GradientBoosting, log_loss           1.00  5.00 / 5.00
#   GradientBoosting, exponential        0.69  5.00 / 5.00
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check \
    hummingbird-ml==0.4.12 torch==2.13.0 lightgbm==4.7.0 scikit-learn==1.8.0 numpy==2.4.6 setuptools==80.9.0
cd "$room"
"$room/venv/bin/python" -W ignore - 2>/dev/null <<'PY'
import numpy as np
from hummingbird.ml import convert
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeRegressor

random = np.random.RandomState(0)
x = random.normal(size=(300, 4)).astype("f4")
y = np.exp(x[:, 0] / 2) + np.abs(x[:, 1])
labels = np.where(y + random.normal(size=300) > 1.5, 5, 3)
holes = np.where(random.rand(300, 4) < 0.2, np.nan, x).astype("f4")


def look(name, model, x, y):
    right = model.fit(x, y).predict(x)
    found = convert(model, "torch", x).predict(x).reshape(right.shape)
    agree = np.isclose(right, found, 1e-3, 1e-3).mean()
    print(f"{name:36s} {agree:.2f}  {right[0]:.2f} / {found[0]:.2f}", flush=True)
    return agree, right, found


ten = dict(n_estimators=10, verbose=-1)
bagged = dict(boosting_type="rf", bagging_freq=1, bagging_fraction=0.6)
assert look("LightGBM", LGBMRegressor(**ten), x, y)[0] == 1
_, right, found = look("LightGBM, poisson", LGBMRegressor(objective="poisson", **ten), x, y)
assert np.allclose(np.log(right), found, atol=1e-3)
_, right, found = look("LightGBM, rf", LGBMRegressor(**bagged, **ten), x, y)
assert np.allclose(10 * right, found, atol=1e-3)
assert look("LightGBM, linear_tree", LGBMRegressor(linear_tree=True, **ten), x, y)[0] < 0.2
assert look("LightGBM, missing values", LGBMRegressor(**ten), holes, y)[0] < 0.8
_, right, found = look("LightGBM, classes 3 and 5", LGBMClassifier(**ten), x, labels)
assert set(right) == {3, 5} and set(found) == {0, 1}
assert look("HistGradientBoosting", HistGradientBoostingRegressor(max_iter=10), x, y)[0] == 1
_, right, found = look("HistGradientBoosting, poisson", HistGradientBoostingRegressor(max_iter=10, loss="poisson"), x, y)
assert np.allclose(np.log(right), found, atol=1e-3)
assert look("HistGradientBoosting, missing values", HistGradientBoostingRegressor(max_iter=10), holes, y)[0] < 0.8
assert look("decision tree, missing values", DecisionTreeRegressor(random_state=0), holes, y)[0] < 0.8
assert look("GradientBoosting, log_loss", GradientBoostingClassifier(n_estimators=10, random_state=0), x, labels)[0] == 1
assert look("GradientBoosting, exponential", GradientBoostingClassifier(n_estimators=10, loss="exponential", random_state=0), x, labels)[0] < 1
PY
