"""Tree ensembles with their trainers' covers, compared with shap, XGBoost, LightGBM and CatBoost themselves.

All numbers are multiples of 1/8. Trainers that keep thresholds in float64 put them between such numbers, and rounding
them to the float32 of a file then sends no row another way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp

pytestmark = pytest.mark.peers
catboost = pytest.importorskip("catboost")
lightgbm = pytest.importorskip("lightgbm")
shap = pytest.importorskip("shap")
xgboost = pytest.importorskip("xgboost")
onnxmltools = pytest.importorskip("onnxmltools")
skl2onnx = pytest.importorskip("skl2onnx")

from onnxmltools.convert.common.data_types import FloatTensorType  # noqa: E402
from sklearn import ensemble, tree  # noqa: E402

Array = np.ndarray
RNG = np.random.default_rng(0)
X = (RNG.integers(-24, 25, (400, 6)) / 8).astype(np.float32)
NUMBERS = 2 * X[:, 0] + X[:, 1] * X[:, 2] + RNG.normal(size=400)
HOLES = np.where(RNG.random(X.shape) < 0.2, np.nan, X).astype(np.float32)
WORDS = X.copy()
WORDS[:, 3] = RNG.integers(0, 8, 400)
SHOWN = slice(0, 60)
OPSETS = {"": 18, "ai.onnx.ml": 3}
TYPES = [("X", FloatTensorType([None, 6]))]
TARGETS = {0: [None], 2: [0, 1], 3: [0, 1, 2]}


def answers(classes: int, numbers: Array = NUMBERS) -> Array:
    """Answers to train on: numbers, or as many classes."""
    return {0: numbers, 2: (numbers > 0).astype(int), 3: np.digitize(numbers, [-1.5, 1.5])}[classes]


@pytest.fixture(autouse=True)
def whole_numbers(monkeypatch):
    """Write flags as whole numbers: skl2onnx writes truth values among them, which newer protobuf refuses."""
    make = onnx.helper.make_attribute

    def made(name: str, value: Any, *rest: Any, **more: Any) -> onnx.AttributeProto:
        return make(name, [int(v) for v in value] if name.endswith("tracks_true") else value, *rest, **more)

    monkeypatch.setattr(onnx.helper, "make_attribute", made)


def relevance(model: Any, source: onnx.ModelProto, rows: Array, target: int | None, **options: Any) -> Array:
    """Explain rows of a file to which the trainer's own covers were added."""
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    explainer = onnxlrp.Explainer(onnxlrp.convert(given, **options))
    (name,) = (i.name for i in source.graph.input)
    return explainer({name: rows}, **({} if target is None else {"target": target})).relevance[name]


def check(model: Any, source: onnx.ModelProto, rows: Array, true: Array, classes: int) -> None:
    """Compare every class; `true` is [rows, features] or, for several scores, [rows, features, classes]."""
    if classes == 2 and true.ndim == 2:
        true = np.stack([-true, true], axis=-1)
    for target in TARGETS[classes]:
        expected = true if target is None else true[:, :, target]
        found = relevance(model, source, rows, target)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def of_shap(model: Any, rows: Array) -> Array:
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    return np.asarray(explainer.shap_values(rows, check_additivity=False))


def quietly(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)


def exported(model: Any, classes: int) -> onnx.ModelProto:
    options = {id(model): {"zipmap": False}} if classes else None
    return quietly(skl2onnx.to_onnx, model, X[:1], options=options, target_opset=OPSETS)


FORESTS: dict[str, Callable[[int], Any]] = {
    "tree": lambda classes: (tree.DecisionTreeClassifier if classes else tree.DecisionTreeRegressor)(max_depth=5),
    "random forest": lambda classes: (ensemble.RandomForestClassifier if classes else ensemble.RandomForestRegressor)(
        20, max_depth=6, random_state=0
    ),
    "extra trees": lambda classes: (ensemble.ExtraTreesClassifier if classes else ensemble.ExtraTreesRegressor)(
        20, max_depth=6, random_state=0
    ),
}


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", FORESTS)
def test_forests_of_scikit_learn(name, classes):
    """Compare means of trees with shap: values of scores, and of the probability of every class."""
    model = FORESTS[name](classes).fit(X, answers(classes))
    check(model, exported(model, classes), X[SHOWN], of_shap(model, X[SHOWN]), classes)


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_gradient_boosting(classes):
    """Compare with shap, and with the sum of shap's values of every tree for three classes, which shap refuses."""
    kind = ensemble.GradientBoostingClassifier if classes else ensemble.GradientBoostingRegressor
    model = kind(n_estimators=20, random_state=0).fit(X, answers(classes))
    if classes < 3:
        true = of_shap(model, X[SHOWN])
    else:
        parts = [[of_shap(one, X[SHOWN]) for one in stage] for stage in model.estimators_]
        true = model.learning_rate * np.moveaxis(np.sum(parts, axis=0), 0, -1)
    check(model, exported(model, classes), X[SHOWN], true, classes)


@pytest.mark.parametrize("holes", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("classes", [0, 2])
def test_gradient_boosting_by_histograms(classes, holes):
    kind = ensemble.HistGradientBoostingClassifier if classes else ensemble.HistGradientBoostingRegressor
    rows = HOLES if holes else X
    model = kind(max_iter=20).fit(rows, answers(classes))
    check(model, exported(model, classes), rows[SHOWN], of_shap(model, rows[SHOWN]), classes)


def of_booster(contributions: Array, classes: int) -> Array:
    """Bring contributions to [rows, features] or [rows, features, classes], without the base."""
    if classes == 3:
        contributions = np.moveaxis(contributions.reshape(len(contributions), 3, -1), 1, -1)
    return contributions[:, :-1]


@pytest.mark.parametrize("data", ["complete", "missing", "categories"])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_lightgbm(classes, data):
    """Compare with `predict(pred_contrib=True)`."""
    rows = {"complete": X, "missing": HOLES, "categories": WORDS}[data]
    numbers = NUMBERS + 3 * np.isin(WORDS[:, 3], [1, 4, 6]) - 1 if data == "categories" else NUMBERS
    options = {"min_data_per_group": 5, "cat_smooth": 1, "max_cat_to_onehot": 1} if data == "categories" else {}
    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    model = kind(n_estimators=20, verbose=-1, min_child_samples=5, num_leaves=12, n_jobs=1, **options)
    model.fit(rows, answers(classes, numbers), categorical_feature=[3] if data == "categories" else "auto")
    assert data != "categories" or any(one["num_cat"] for one in model.booster_.dump_model()["tree_info"])
    export = {"zipmap": False} if classes else {}
    source = quietly(onnxmltools.convert_lightgbm, model, initial_types=TYPES, target_opset=15, **export)
    true = of_booster(np.asarray(model.predict(rows[SHOWN], pred_contrib=True)), classes)
    check(model, source, rows[SHOWN], true, classes)


XGBOOST: dict[str, dict[str, Any]] = {
    "boosted": {"n_estimators": 20, "max_depth": 4},
    "leaf-wise": {"n_estimators": 20, "max_leaves": 12, "max_depth": 0, "grow_policy": "lossguide"},
}


@pytest.mark.parametrize("holes", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("name", XGBOOST)
def test_xgboost(name, classes, holes):
    """Compare with `Booster.predict(pred_contribs=True)`, whose covers are sums of Hessians."""
    rows = HOLES if holes else X
    kind = xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    model = kind(n_jobs=1, **XGBOOST[name]).fit(rows, answers(classes))
    source = quietly(onnxmltools.convert_xgboost, model, initial_types=TYPES, target_opset=15)
    contributions = model.get_booster().predict(xgboost.DMatrix(rows[SHOWN]), pred_contribs=True)
    true = contributions[:, :-1] if classes < 3 else np.moveaxis(contributions, 1, -1)[:, :-1]
    check(model, source, rows[SHOWN], true, classes)


def test_xgboost_random_forest():
    model = xgboost.XGBRFRegressor(n_estimators=10, max_depth=5, n_jobs=1).fit(X, NUMBERS)
    source = quietly(onnxmltools.convert_xgboost, model, initial_types=TYPES, target_opset=15)
    true = model.get_booster().predict(xgboost.DMatrix(X[SHOWN]), pred_contribs=True)[:, :-1]
    check(model, source, X[SHOWN], true, 0)


@pytest.mark.parametrize("holes", [False, True], ids=["complete", "missing"])
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_catboost(classes, holes, tmp_path: Path):
    """Compare with `get_feature_importance(type="ShapValues")`; the file is CatBoost's own."""
    rows = HOLES if holes else X
    kind = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    options = {"loss_function": "MultiClass"} if classes == 3 else {}
    model = kind(iterations=20, depth=4, verbose=0, allow_writing_files=False, thread_count=1, **options)
    model.fit(rows, answers(classes))
    model.save_model(str(tmp_path / "model.onnx"), format="onnx")
    pool = catboost.Pool(rows[SHOWN], answers(classes)[SHOWN])
    values = model.get_feature_importance(pool, type="ShapValues", shap_calc_type="Regular")
    true = values[:, :-1] if classes < 3 else np.moveaxis(values, 1, -1)[:, :-1]
    check(model, onnx.load(tmp_path / "model.onnx"), rows[SHOWN], true, classes)


def extreme(classes: int) -> tuple[Any, onnx.ModelProto]:
    kind = xgboost.XGBClassifier if classes else xgboost.XGBRegressor
    model = kind(n_jobs=1, n_estimators=20, max_depth=4).fit(X, answers(classes))
    return model, quietly(onnxmltools.convert_xgboost, model, initial_types=TYPES, target_opset=15)


def light(classes: int) -> tuple[Any, onnx.ModelProto]:
    kind = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    model = kind(n_estimators=20, verbose=-1, num_leaves=12, n_jobs=1).fit(X, answers(classes))
    export = {"zipmap": False} if classes else {}
    return model, quietly(onnxmltools.convert_lightgbm, model, initial_types=TYPES, target_opset=15, **export)


def forest(classes: int) -> tuple[Any, onnx.ModelProto]:
    model = FORESTS["random forest"](classes).fit(X, answers(classes))
    return model, exported(model, classes)


MAKERS: dict[str, Callable[[int], tuple[Any, onnx.ModelProto]]] = {
    "XGBoost": extreme,
    "LightGBM": light,
    "random forest": forest,
}


def same(found: Array, true: Array) -> None:
    np.testing.assert_allclose(found, true, rtol=1e-5, atol=1e-5 * np.abs(true).max())


def of_class(true: Array, target: int | None) -> Array:
    """Choose a class, of values for two classes by their sign or of values with the classes last."""
    if target is None:
        return true
    return true[..., target] if true.shape[-1] == 3 else true * (1 if target else -1)


@pytest.mark.parametrize("classes", [0, 2])
@pytest.mark.parametrize("maker", MAKERS)
def test_base_values(maker, classes):
    """Compare with shap's expected value, that of the second class for two; for XGBoost shap knows it after a call."""
    model, source = MAKERS[maker](classes)
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    explanation = onnxlrp.Explainer(onnxlrp.convert(given))({"X": X[:3]}, **({"target": 1} if classes else {}))
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    explainer.shap_values(X[:3])
    assert explanation.base_value is not None
    expected = np.ravel(explainer.expected_value)[-1]
    np.testing.assert_allclose(explanation.base_value.ravel(), [expected] * 3, rtol=1e-5, atol=1e-6)
    total = explanation.relevance["X"].sum(1) + explanation.base_value.ravel()
    np.testing.assert_allclose(total, np.ravel(explanation.raw_score), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("maker", MAKERS)
def test_interventional_values(maker, classes):
    """Compare with shap's values for the same background rows."""
    model, source = MAKERS[maker](classes)
    explainer = shap.TreeExplainer(model, X[300:340], feature_perturbation="interventional")
    true = np.asarray(explainer.shap_values(X[SHOWN], check_additivity=False))
    composite = onnxlrp.composites.Auto(trees="interventional")
    explain = onnxlrp.Explainer(onnxlrp.convert(source, composite, background=X[300:340]))
    for target in TARGETS[classes]:
        expected = true[..., target] if true.ndim == 3 else of_class(true, target)
        same(explain({"X": X[SHOWN]}, **({} if target is None else {"target": target})).relevance["X"], expected)


@pytest.mark.parametrize("classes", [0, 2, 3])
@pytest.mark.parametrize("maker", MAKERS)
def test_interactions(maker, classes):
    """Compare with shap's interaction values."""
    model, source = MAKERS[maker](classes)
    explainer = shap.TreeExplainer(model, feature_perturbation="tree_path_dependent")
    true = np.asarray(explainer.shap_interaction_values(X[:20]))
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    explain = onnxlrp.Explainer(onnxlrp.convert(given, interactions=True))
    for target in TARGETS[classes]:
        explanation = explain({"X": X[:20]}, **({} if target is None else {"target": target}))
        expected = true[..., target] if true.ndim == 4 else of_class(true, target)
        same(explanation.interactions, expected)
        same(explanation.interactions.sum(2), explanation.relevance["X"])


def test_isolation_forest():
    """Compare with shap's values of the path lengths, which the file divides by their mean in a sample of 64 rows."""
    model = ensemble.IsolationForest(n_estimators=20, max_samples=64, random_state=0).fit(X)
    options = {id(model): {"score_samples": True}}
    source = quietly(skl2onnx.to_onnx, model, X[:1], options=options, target_opset=OPSETS)
    source.graph.output.append(onnx.helper.make_tensor_value_info("dec_C0", onnx.TensorProto.FLOAT, [None, 1]))
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    explanation = onnxlrp.Explainer(onnxlrp.convert(given, output="dec_C0"))({"X": X[SHOWN]})
    lengths = of_shap(model, X[SHOWN])
    exponents = -np.log2(-model.score_samples(X[SHOWN]))
    mean = shap.TreeExplainer(model).expected_value
    scale = np.mean((lengths.sum(1) + mean) / exponents)
    same(explanation.relevance["X"] * scale, lengths)


@pytest.mark.parametrize("classes", [2, 3])
def test_adaboost(classes):
    """Compare with the weighted mean of shap's values of the trees' votes, on the scale of the decision function."""
    base = tree.DecisionTreeClassifier(max_depth=3)
    model = ensemble.AdaBoostClassifier(base, n_estimators=12, random_state=0).fit(X, answers(classes))
    parts = [of_shap(votes(one.tree_, classes), X[SHOWN].astype(np.float64)) for one in model.estimators_]
    true = np.average(parts, axis=0, weights=model.estimator_weights_) * classes / (classes - 1) ** 2
    given = onnxlrp.with_covers(exported(model, classes), onnxlrp.covers_of(model))
    explainer = onnxlrp.Explainer(onnxlrp.convert(given, output="probabilities"))
    for target in range(classes):
        same(explainer({"X": X[SHOWN]}, target=target).relevance["X"], true[..., target])


def votes(one: Any, classes: int) -> dict[str, Any]:
    """Make a tree for shap whose leaves vote for the class of most samples."""
    names = ("children_left", "children_right")
    table = {name: getattr(one, name) for name in names} | {"children_default": one.children_right}
    table |= {"features": one.feature, "thresholds": one.threshold, "node_sample_weight": one.weighted_n_node_samples}
    return {"trees": [table | {"values": np.eye(classes)[one.value[:, 0].argmax(1)]}]}
