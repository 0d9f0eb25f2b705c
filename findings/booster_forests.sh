#!/usr/bin/env bash
# EXPECTED: random forests inside boosters convert like boosted trees; a three-class forest's file chooses the class that
#   predict() chooses.
# SEEN, without a warning:
#   LightGBM boosting="rf": predict() is the mean of the trees, the file's regression answer their sum (20 trees: 20 times).
#   XGBoost, three classes, num_parallel_tree=3 or XGBRFClassifier: the converter deals trees out to classes in turn, as if
#     each round held one tree per class; trees vote for classes that they were not grown for. Accuracy falls.
#   XGBoost, two targets: every tree is added to the first target; the second is a constant 0.
# WHY: the file loads, shapes fit, numbers look like probabilities. One tree a round and one target are right, so a first
#   test passes. (A two-class file of several trees a round is refused when it is loaded: the loud half of the same matter.)
# VERSIONS: lightgbm 4.7.0, xgboost 3.2.0, onnxmltools 1.16.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT:
#   LightGBM rf of 20 trees: the file's answer is 20.000 to 20.000 times predict()
#   XGBRFClassifier, three classes: accuracy of predict() 0.943, of the file 0.205
#   XGBClassifier, three classes: accuracy of predict() 0.980, of the file 0.367
#   XGBRegressor, two targets: predict() [ 5.12 10.23], file [5.52 0.  ]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 lightgbm==4.7.0 xgboost==3.2.0 scikit-learn==1.9.1 onnxmltools==1.16.0 skl2onnx==1.20.0 onnx==1.23.2 \
    onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import lightgbm, numpy as np, onnxruntime, xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

onnxruntime.set_default_logger_severity(3)
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 3)).astype("f4")
y = X[:, 0] + 0.3 * X[:, 1] + 5
three = np.digitize(y, [4.5, 5.5])
types = [("x", FloatTensorType([None, 3]))]

def run(model):
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": X})

options = {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "verbose": -1}
forest = lightgbm.train(options, lightgbm.Dataset(X, y), 20)
ratio = run(convert_lightgbm(forest, initial_types=types))[0][:, 0] / forest.predict(X)
print(f"LightGBM rf of 20 trees: the file's answer is {ratio.min():.3f} to {ratio.max():.3f} times predict()")
assert np.allclose(ratio, 20, rtol=1e-3)

for kind, options in ((xgboost.XGBRFClassifier, {"n_estimators": 3}), (xgboost.XGBClassifier, {"n_estimators": 5, "num_parallel_tree": 3})):
    model = kind(max_depth=3, **options).fit(X, three)
    label = run(convert_xgboost(model, initial_types=types))[0]
    right, kept = (model.predict(X) == three).mean(), (label == three).mean()
    print(f"{type(model).__name__}, three classes: accuracy of predict() {right:.3f}, of the file {kept:.3f}")
    assert right > 0.9 and kept < 0.8

boosted = xgboost.XGBClassifier(n_estimators=5, max_depth=3).fit(X, three)
assert (run(convert_xgboost(boosted, initial_types=types))[0] == boosted.predict(X)).all(), "the control, one tree a round, is wrong"
single = xgboost.XGBRFRegressor(n_estimators=20).fit(X, y)
assert np.allclose(run(convert_xgboost(single, initial_types=types))[0][:, 0], single.predict(X), atol=1e-4), "the control, one target, is wrong"

targets = xgboost.XGBRegressor(n_estimators=20).fit(X, np.c_[y, y * 2])
given = run(convert_xgboost(targets, initial_types=types))[0]
print(f"XGBRegressor, two targets: predict() {targets.predict(X)[0].round(2)}, file {given[0].round(2)}")
assert given.shape == (600, 2) and (given[:, 1] == 0).all() and targets.predict(X)[:, 1].min() > 1
PY
