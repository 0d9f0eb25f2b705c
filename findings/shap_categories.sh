#!/usr/bin/env bash
# EXPECTED: TreeExplainer's values add up to the prediction of HistGradientBoosting, or its additivity check says that they do not.
# SEEN: splits by a set of categories are read as "x <= 0". The values miss the prediction by as much as its whole range, and the
#   additivity check, which is on, says nothing: it compares with the same misread trees. With a background it is the same.
# WHY: categories are the reason to take this estimator, and a feature of 8 categories that decides everything gets one value for
#   all of its categories but the first. LightGBM, which splits in the same way, is explained rightly.
# VERSIONS: shap 0.51.0, scikit-learn 1.8.0, lightgbm 4.7.0, numpy 2.4.6. Seen 2026-11-30.
# OUTPUT (y is 10 for the categories 1, 4 and 6, plus a small part of the second feature):
#   HistGradientBoosting, categories   R2 1.000, off by up to 10.07; mean value of category 4: -3.47, of category 5: -3.47
#   HistGradientBoosting, as numbers   R2 1.000, off by up to 0.00; mean value of category 4: 6.45, of category 5: -3.43
#   LightGBM, categories               R2 1.000, off by up to 0.00; mean value of category 4: 6.42, of category 5: -3.44
#   HistGradientBoosting, categories, explained with a background: off by up to 10.07
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 shap==0.51.0 lightgbm==4.7.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import lightgbm, numpy as np, shap
from sklearn.ensemble import HistGradientBoostingRegressor

random = np.random.RandomState(0)
x = np.column_stack([random.randint(0, 8, 600), random.normal(size=(600, 2))]).astype(float)
y = np.isin(x[:, 0], [1, 4, 6]) * 10.0 + x[:, 1] / 4


def look(name, model):
    explainer = shap.TreeExplainer(model)
    values = explainer.shap_values(x)  # check_additivity is True
    off = np.abs(values.sum(1) + explainer.expected_value - model.predict(x)).max()
    four, five = (values[x[:, 0] == category, 0].mean() for category in (4, 5))
    print(f"{name:34s} R2 {model.score(x, y):.3f}, off by up to {off:.2f}; mean value of category 4: {four:.2f}, of category 5: {five:.2f}")
    return off, four, five


histogram = HistGradientBoostingRegressor(max_iter=50, categorical_features=[0]).fit(x, y)
off, four, five = look("HistGradientBoosting, categories", histogram)
assert off > 9 and abs(four - five) < 1e-2
off, four, five = look("HistGradientBoosting, as numbers", HistGradientBoostingRegressor(max_iter=50).fit(x, y))
assert off < 1e-6 and four - five > 9
off, four, five = look("LightGBM, categories", lightgbm.LGBMRegressor(verbose=-1).fit(x, y, categorical_feature=[0]))
assert off < 1e-6 and four - five > 9
explainer = shap.TreeExplainer(histogram, x[:100])
off = np.abs(explainer.shap_values(x).sum(1) + explainer.expected_value - histogram.predict(x)).max()
print(f"HistGradientBoosting, categories, explained with a background: off by up to {off:.2f}")
assert off > 9
PY
