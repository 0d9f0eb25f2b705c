"""Counts that trainers keep, read from the trained models and matched with the files that exporters write from them.

SHAP's own explanation of the trained model is what the exported one must then give.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.errors import InputError

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")
onnxmltools = pytest.importorskip("onnxmltools")
lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")
catboost = pytest.importorskip("catboost")
shap = pytest.importorskip("shap")

from onnxmltools.convert.common import data_types as onnxmltools_types  # noqa: E402
from sklearn import datasets, ensemble, pipeline, preprocessing, tree  # noqa: E402

Array = np.ndarray
WINE = datasets.load_wine()
X, Y = WINE.data.astype(np.float32), WINE.target
TARGET = datasets.load_diabetes().target[: len(X)]
OPSETS = {"": 18, "ai.onnx.ml": 3}


def scikit_learn(model: Any) -> onnx.ModelProto:
    kind = [("x", skl2onnx.common.data_types.FloatTensorType([None, X.shape[1]]))]
    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skl2onnx.to_onnx(model, initial_types=kind, target_opset=OPSETS, options=options)


def boosted(model: Any, width: int = X.shape[1]) -> onnx.ModelProto:
    """LightGBM's or XGBoost's model by onnxmltools."""
    convert = onnxmltools.convert_xgboost if "xgb" in type(model).__module__ else onnxmltools.convert_lightgbm
    return convert(model, initial_types=[("x", onnxmltools_types.FloatTensorType([None, width]))], target_opset=15)


def covered(source: onnx.ModelProto, model: Any) -> list[Array]:
    """The hit rates of each ensemble of a file, once it has the model's covers."""
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    rates = [a for n in given.graph.node for a in n.attribute if a.name == "nodes_hitrates"]
    return [np.array(a.floats) for a in rates]


SAMPLES = len(X)
SCIKIT_LEARN = {
    "tree": tree.DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": ensemble.RandomForestClassifier(4, max_depth=4, bootstrap=False, random_state=0),
    "extra trees": ensemble.ExtraTreesClassifier(4, max_depth=4, random_state=0),
    "boosting": ensemble.GradientBoostingClassifier(n_estimators=3, random_state=0),
    "bagging": ensemble.BaggingClassifier(n_estimators=3, bootstrap=False, random_state=0),
}


@pytest.mark.parametrize("name", SCIKIT_LEARN)
def test_scikit_learn(name):
    """The roots have all samples, and the leaves of a tree add up to them."""
    model = SCIKIT_LEARN[name].fit(X, Y)
    source = scikit_learn(model)
    trees = onnxlrp.covers_of(model)
    rates = np.concatenate(covered(source, model))
    assert all(t.cover[0] == SAMPLES for t in trees)
    np.testing.assert_allclose(np.sort(rates), np.sort(np.concatenate([t.cover for t in trees])))


def test_isolation_forest_is_an_ensemble_for_each_tree():
    model = ensemble.IsolationForest(n_estimators=5, max_samples=64, random_state=0).fit(X)
    rates = covered(scikit_learn(model), model)
    assert len(rates) == 5 and all(r[0] == 64 for r in rates)
    given = onnxlrp.with_covers(scikit_learn(model), onnxlrp.covers_of(model))
    plan = onnxlrp.inspect(given, output="scores")
    assert any("covers: the file's hit rates" in row.why for row in plan.rows() if row.operator == "LeafFunction")


def test_the_last_step_of_a_pipeline():
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), ensemble.RandomForestRegressor(3, random_state=0))
    model.fit(X, Y)
    rates = covered(scikit_learn(model), model)
    assert len(rates) == 1


@pytest.mark.parametrize("kind", [ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor])
def test_histogram_boosting(kind, monkeypatch):
    """Flags of missing values are written as numbers here: skl2onnx 1.20 gives onnx 1.23 booleans, which it refuses."""
    written = onnx.helper.make_attribute

    def with_numbers(name: str, value: Any, *rest: Any, **more: Any) -> onnx.AttributeProto:
        return written(name, list(map(int, value)) if "tracks_true" in name else value, *rest, **more)

    monkeypatch.setattr(onnx.helper, "make_attribute", with_numbers)
    model = kind(max_iter=3, random_state=0).fit(X, Y)
    trees = onnxlrp.covers_of(model)
    (rates,) = covered(scikit_learn(model), model)
    assert len(trees) == 3 * (3 if kind is ensemble.HistGradientBoostingClassifier else 1)
    assert all(t.cover[0] == SAMPLES for t in trees)
    np.testing.assert_allclose(np.sort(rates), np.sort(np.concatenate([t.cover for t in trees])))


def lightgbm_model(cls: Any = lightgbm.LGBMClassifier, **options: Any) -> Any:
    return cls(n_estimators=4, num_leaves=7, verbose=-1, random_state=0, **options)


@pytest.mark.parametrize("booster", [False, True], ids=["scikit-learn", "Booster"])
def test_lightgbm(booster):
    model = lightgbm_model().fit(X, Y)
    source = boosted(model)
    trees = onnxlrp.covers_of(model.booster_ if booster else model)
    given = onnxlrp.with_covers(source, trees)
    (rates,) = [np.array(a.floats) for a in given.graph.node[0].attribute if a.name == "nodes_hitrates"]
    assert len(trees) == 12 and all(t.cover[0] == SAMPLES for t in trees)
    np.testing.assert_allclose(np.sort(rates), np.sort(np.concatenate([t.cover for t in trees])))


def test_dropout_of_xgboost():
    """onnxmltools 1.16 does not write these models; their counts are those of a run without dropout."""
    trees, plain = (
        onnxlrp.covers_of(xgboost.XGBRegressor(n_estimators=3, max_depth=4, booster=kind).fit(X, TARGET))
        for kind in ("dart", "gbtree")
    )
    for one, other in zip(trees, plain, strict=True):
        np.testing.assert_array_equal(one.cover, other.cover)


def test_categories_of_lightgbm():
    """A set of categories becomes a chain of equalities with one true branch, which has the samples of them all."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.integers(0, 8, 400), rng.normal(size=400)], 1).astype(np.float32)
    y = np.isin(x[:, 0], [1, 3, 6]) * 2 + x[:, 1] * 0.3
    model = lightgbm.LGBMRegressor(n_estimators=3, num_leaves=6, verbose=-1, min_child_samples=5, cat_smooth=0)
    model.fit(x, y, categorical_feature=[0])
    (rates,) = covered(boosted(model, 2), model)
    assert rates.max() == 400
    check(boosted(model, 2), model, x)


@pytest.mark.parametrize("booster", [False, True], ids=["scikit-learn", "Booster"])
def test_xgboost(booster):
    """onnxmltools numbers nodes depth first, XGBoost level by level."""
    model = xgboost.XGBClassifier(n_estimators=3, max_depth=4).fit(X, Y)
    trees = onnxlrp.covers_of(model.get_booster() if booster else model)
    given = onnxlrp.with_covers(boosted(model), trees)
    (rates,) = [np.array(a.floats) for n in given.graph.node for a in n.attribute if a.name == "nodes_hitrates"]
    np.testing.assert_allclose(np.sort(rates), np.sort(np.concatenate([t.cover for t in trees])), rtol=1e-6)


@pytest.mark.parametrize("classes", [1, 3])
def test_early_stopping_of_xgboost(classes):
    """Rounds after the best one are neither predicted with nor written by exporters."""
    cls, answers = (xgboost.XGBClassifier, Y) if classes > 1 else (xgboost.XGBRegressor, TARGET)
    model = cls(n_estimators=60, max_depth=2, learning_rate=1.0, early_stopping_rounds=3, base_score=0.5)
    order = np.random.default_rng(0).permutation(SAMPLES)
    seen, left = order[:100], order[100:]
    model.fit(X[seen], answers[seen], eval_set=[(X[left], answers[left])], verbose=False)
    trees = onnxlrp.covers_of(model)
    assert len(trees) == classes * (model.best_iteration + 1) < len(model.get_booster().get_dump())
    assert covered(boosted(model), model)


@pytest.mark.parametrize("cls", [catboost.CatBoostClassifier, catboost.CatBoostRegressor])
def test_catboost(cls, tmp_path):
    model = cls(iterations=4, depth=3, verbose=0, allow_writing_files=False).fit(X, Y)
    model.save_model(str(tmp_path / "model.onnx"), format="onnx")
    source = onnx.load(tmp_path / "model.onnx")
    trees = onnxlrp.covers_of(model)
    (rates,) = covered(source, model)
    assert all(t.cover[0] == SAMPLES for t in trees)
    np.testing.assert_allclose(np.sort(rates), np.sort(np.concatenate([t.cover for t in trees])))


# ------------------------------------------------------------------------------------------------------ SHAP's values


def check(source: onnx.ModelProto, model: Any, x: Array = X, column: int | None = None) -> None:
    """The explanation with the trainer's covers is SHAP's, path dependent."""
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    explained = onnxlrp.convert(given, "epsilon", target="weights")
    expected = np.asarray(shap.TreeExplainer(model, feature_perturbation="tree_path_dependent").shap_values(x[:20]))
    expected = expected if column is None else expected[..., column]
    outputs = onnxlrp.Explainer(explained)({"x": x[:20]}).outputs[explained.interface.output]
    weights = np.zeros_like(outputs, np.float32)
    weights[:, 0 if column is None else column] = 1
    found = onnxlrp.Explainer(explained)({"x": x[:20]}, weights=weights).relevance["x"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_shap_of_regressors():
    check(boosted(m := lightgbm_model(lightgbm.LGBMRegressor).fit(X, TARGET)), m)
    check(scikit_learn(m := ensemble.RandomForestRegressor(5, max_depth=5, random_state=0).fit(X, TARGET)), m)
    check(scikit_learn(m := ensemble.GradientBoostingRegressor(n_estimators=5, random_state=0).fit(X, TARGET)), m)
    check(boosted(m := xgboost.XGBRegressor(n_estimators=5, max_depth=4).fit(X, TARGET)), m)


@pytest.mark.parametrize("column", [0, 2])
def test_shap_of_classifiers(column):
    check(
        scikit_learn(m := ensemble.RandomForestClassifier(5, max_depth=4, random_state=0).fit(X, Y)), m, column=column
    )


def test_shap_of_catboost(tmp_path):
    model = catboost.CatBoostRegressor(iterations=5, depth=4, verbose=0, allow_writing_files=False).fit(X, TARGET)
    model.save_model(str(tmp_path / "model.onnx"), format="onnx")
    source = onnx.load(tmp_path / "model.onnx")
    given = onnxlrp.with_covers(source, onnxlrp.covers_of(model))
    expected = model.get_feature_importance(catboost.Pool(X[:20]), type="ShapValues")[:, :-1]
    explained = onnxlrp.convert(given, "epsilon")
    (name,) = explained.interface.relevance
    found = onnxlrp.Explainer(explained)({name: X[:20]}).relevance[name]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


# -------------------------------------------------------------------------------------------------------- refusals


def test_another_model_is_named_by_its_first_difference():
    fit = functools.partial(ensemble.RandomForestClassifier, 3, max_depth=3)
    source = scikit_learn(fit(random_state=0).fit(X, Y))
    with pytest.raises(InputError, match="differs in tree 0 of TreeEnsembleClassifier"):
        onnxlrp.with_covers(source, onnxlrp.covers_of(fit(random_state=1).fit(X, Y)))


def test_models_without_known_trees():
    for model in (preprocessing.StandardScaler(), ensemble.RandomForestClassifier(), object()):
        with pytest.raises(InputError, match="holds no trees that are known here"):
            onnxlrp.covers_of(model)
    for model in (lightgbm.LGBMClassifier(), xgboost.XGBClassifier(), catboost.CatBoostClassifier()):
        with pytest.raises(InputError, match=r"is it fitted|fitted models"):
            onnxlrp.covers_of(model)
