#!/usr/bin/env bash
# EXPECTED: a booster's ONNX file answers as predict() does.
# SEEN: the last step, from score to answer, is lost or replaced. No warning, no error; labels may still look right.
#   CatBoost, Poisson: the file gives the logarithm of the rate.
#   XGBRegressor, reg:logistic: the file gives log-odds, and those shifted: base_score is added as the probability it was
#     before its logit. XGBClassifier's file is right.
#   LightGBM, sigmoid=2.5: the file applies the plain sigmoid. multiclassova: softmax in place of one sigmoid per class.
#   LightGBM, reg_sqrt=True: the file gives the square root of the answer.
# WHY: probabilities, rates and base values are another quantity than the trained model's; an explanation that sums to the
#   file's output explains that other quantity. The same options in other pairs (LightGBM Poisson, XGBoost Poisson) are right.
# VERSIONS: catboost 1.2.10, lightgbm 4.7.0, xgboost 3.2.0, onnxmltools 1.16.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (the first two rows):
#   CatBoost Poisson             predict [1.234 1.372]  file [0.21  0.316]
#   XGBoost reg:logistic         predict [0.021 0.024]  file [-3.477 -3.357]
#   LightGBM sigmoid=2.5         predict [0.208 0.281]  file [0.369 0.407]
#   LightGBM multiclassova       predict [0.043 0.833]  file [0.009 0.981]
#   LightGBM reg_sqrt            predict [16.322 16.605]  file [4.04  4.075]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 catboost==1.2.10 lightgbm==4.7.0 xgboost==3.2.0 scikit-learn==1.9.1 onnxmltools==1.16.0 skl2onnx==1.20.0 \
    onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import catboost, lightgbm, numpy as np, onnxruntime, xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

onnxruntime.set_default_logger_severity(3)
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3)).astype("f4")
score = X[:, 0] + X[:, 1] ** 2
amount, yes, three = np.exp(score / 2), (score > 0.5).astype(int), np.digitize(score, [0, 1])
types = [("x", FloatTensorType([None, 3]))]
sigmoid = lambda z: 1 / (1 + np.exp(-z))
softmax = lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True)

def file_answer(model):
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    return session.run(None, {session.get_inputs()[0].name: X})[-1]

def check(name, predicted, given, is_really):
    print(f"{name:28s} predict {np.ravel(predicted)[:2].round(3)}  file {np.ravel(given)[:2].round(3)}")
    assert abs(np.squeeze(given) - predicted).max() > 0.1, "the file now answers as predict() does"
    assert np.allclose(np.squeeze(given), is_really, atol=1e-4), "the file answers something else than before"

model = catboost.CatBoostRegressor(iterations=20, loss_function="Poisson", verbose=0, allow_writing_files=False).fit(X, amount)
model.save_model("cat.onnx", format="onnx")
check("CatBoost Poisson", model.predict(X), file_answer(open("cat.onnx", "rb").read()), np.log(model.predict(X)))

model = xgboost.XGBRegressor(n_estimators=20, objective="reg:logistic").fit(X, yes)
p, base = model.predict(X), yes.mean()
shifted = np.log(p / (1 - p)) + base - np.log(base / (1 - base))
check("XGBoost reg:logistic", p, file_answer(convert_xgboost(model, initial_types=types)), shifted)

def light(y, **options):
    booster = lightgbm.train({"verbose": -1, "num_leaves": 7, **options}, lightgbm.Dataset(X, y), 20)
    return booster.predict(X), booster.predict(X, raw_score=True), file_answer(convert_lightgbm(booster, initial_types=types, zipmap=False))

p, raw, given = light(yes, objective="binary", sigmoid=2.5)
check("LightGBM sigmoid=2.5", p, given[:, 1], sigmoid(raw))
p, raw, given = light(three, objective="multiclassova", num_class=3)
check("LightGBM multiclassova", p, given, softmax(raw))
p, raw, given = light(10 * amount, objective="regression", reg_sqrt=True)
check("LightGBM reg_sqrt", p, given, np.sign(p) * np.sqrt(abs(p)))
p, raw, given = light(amount, objective="poisson")
assert np.allclose(given[:, 0], p, atol=1e-4), "the control, LightGBM Poisson, is no longer right"
PY
