"""Interactions and interventional values of forests, emitted and by brute force, against shap.TreeExplainer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.analysis.row_clusters import centres
from onnxlrp.errors import InputError
from onnxlrp.trees.covers import with_covers
from tests.oracle import tree_games
from tests.oracle import trees as oracle

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pytest.importorskip("sklearn")
shap = pytest.importorskip("shap")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import compose, ensemble, impute, pipeline, preprocessing  # noqa: E402

Array = np.ndarray
FEATURES, ML = 4, "ai.onnx.ml"


@pytest.fixture(scope="module")
def data() -> Array:
    return np.random.default_rng(0).normal(size=(80, FEATURES)).astype(np.float32)


@pytest.fixture(scope="module")
def forest(data: Array) -> ensemble.RandomForestRegressor:
    """A forest whose trees compare one feature several times on a path."""
    target = data[:, 0] * data[:, 1] + np.sin(3 * data[:, 2]) + data[:, 3]
    return ensemble.RandomForestRegressor(5, max_depth=5, random_state=0).fit(data, target)


def exported(model: Any) -> onnx.ModelProto:
    """The model as skl2onnx writes it, with its covers."""
    kind = skl2onnx.common.data_types.FloatTensorType([None, FEATURES])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"zipmap": False} if hasattr(model, "classes_") else None
        source = skl2onnx.to_onnx(model, initial_types=[("x", kind)], options=options, target_opset={"": 18, ML: 3})
    covers = [tree.tree_.weighted_n_node_samples for tree in np.ravel(model.estimators_)]
    return with_covers(source, covers)


@pytest.fixture(scope="module")
def roots(forest: ensemble.RandomForestRegressor) -> list[oracle.Branch | oracle.Leaf]:
    """The trees as they are exported, with the mean over the trees in the leaves."""
    return oracle.trees(exported(forest).graph.node[0])


def test_path_dependent_interactions(forest, roots, data):
    found = shap.TreeExplainer(forest).shap_interaction_values(data[:3].astype(np.float64))
    for x, wanted in zip(data, found, strict=False):
        game = tree_games.path_dependent(roots, x, 1)
        got = tree_games.interactions(game, FEATURES)[..., 0]
        np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(got.sum(1), tree_games.values(game, FEATURES)[:, 0], atol=1e-12)


def test_interventional_values(forest, roots, data):
    background = data[20:27]
    explainer = shap.TreeExplainer(forest, background, feature_perturbation="interventional")
    for x, wanted in zip(data, explainer.shap_values(data[:3]), strict=False):
        game = tree_games.interventional(roots, x, background, 1)
        np.testing.assert_allclose(tree_games.values(game, FEATURES)[:, 0], wanted, rtol=1e-5, atol=1e-6)


MODELS = {
    "forest": ensemble.RandomForestRegressor(10, max_depth=6, random_state=0),
    "boosting": ensemble.GradientBoostingRegressor(n_estimators=20, max_depth=4, random_state=0),
    "classes": ensemble.RandomForestClassifier(10, max_depth=5, random_state=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_emitted_interactions(name, data):
    """Off the diagonal as shap has them, for the class that is explained; rows add up to the values."""
    target = data[:, 0] * data[:, 1] + np.sin(3 * data[:, 2])
    model = MODELS[name].fit(data, np.digitize(target, [-0.5, 0.5]) if name == "classes" else target)
    explainer = onnxlrp.Explainer(onnxlrp.convert(exported(model), interactions=True), ["CPUExecutionProvider"])
    found = explainer({"x": data}, target=1 if name == "classes" else None)
    wanted = shap.TreeExplainer(model).shap_interaction_values(data.astype(np.float64))
    wanted = wanted[..., 1] if name == "classes" else wanted
    assert found.interactions is not None
    np.testing.assert_allclose(found.interactions, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(found.interactions.sum(2), found.relevance["x"], rtol=1e-4, atol=1e-6)


def test_interactions_of_a_table_of_columns():
    """Scaled numbers and encoded categories, each column an input: the values' rows, and pairs of blocks added up."""
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(size=200).astype(np.float32), "city": rng.choice(list("abc"), 200)})
    frame["income"] = rng.normal(size=200).astype(np.float32)
    target = frame.age * (frame.city == "a") + frame.income
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    columns = compose.ColumnTransformer(
        [("n", numbers, ["age", "income"]), ("c", preprocessing.OneHotEncoder(), ["city"])]
    )
    model = pipeline.make_pipeline(columns, ensemble.GradientBoostingRegressor(n_estimators=20, random_state=0))
    model.fit(frame, target)
    kinds = skl2onnx.common.data_types
    types = {"age": kinds.FloatTensorType, "city": kinds.StringTensorType, "income": kinds.FloatTensorType}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = skl2onnx.to_onnx(
            model, initial_types=[(n, t([None, 1])) for n, t in types.items()], target_opset={"": 18, ML: 3}
        )
    source = with_covers(source, [tree.tree_.weighted_n_node_samples for tree in np.ravel(model[-1].estimators_)])
    converted = onnxlrp.convert(source, interactions=True)
    assert converted.interface.interaction_columns == ("age", "city", "income")
    feeds = {name: frame[[name]].to_numpy() for name in types}
    found = onnxlrp.Explainer(converted, ["CPUExecutionProvider"])(feeds)
    inside = np.asarray(columns.transform(frame), np.float64)
    wanted = shap.TreeExplainer(model[-1]).shap_interaction_values(inside)
    block = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0], [0, 1, 0]])
    np.testing.assert_allclose(found.interactions, block.T @ wanted @ block, rtol=1e-4, atol=1e-5)


def test_centres_are_those_of_shap(data):
    """k-means of rows with a column of indicators, whose centres keep 0 and 1."""
    rows = np.column_stack([data, data[:, 0] > 0]).astype(np.float32)
    found, shares = centres(rows, 6)
    wanted = shap.kmeans(rows, 6)
    np.testing.assert_allclose(found, wanted.data, rtol=1e-6)
    np.testing.assert_allclose(shares, wanted.weights / wanted.weights.sum())
    assert set(found[:, -1]) == {0.0, 1.0}


def test_few_rows_are_their_own_centres(data):
    found, shares = centres(np.concatenate([data[:3], data[:1]]), 5)
    assert {tuple(row) for row in found} == {tuple(row) for row in data[:3]}
    assert sorted(shares) == [0.25, 0.25, 0.5]
    with pytest.raises(InputError, match="takes no missing"):
        centres(np.full((3, 2), np.nan), 2)


@pytest.mark.parametrize("name", ["forest", "boosting", "classes"])
@pytest.mark.parametrize("tables", [True, False])
def test_emitted_interventional_values(name, tables, data):
    """Equal to shap's with the same rows, from tables and by quadrature."""
    target = data[:, 0] * data[:, 1] + np.sin(3 * data[:, 2])
    model = MODELS[name].fit(data, np.digitize(target, [-0.5, 0.5]) if name == "classes" else target)
    explained = onnxlrp.convert(
        exported(model), "epsilon(trees='interventional')", background=data[:30], trees_table=tables
    )
    found = onnxlrp.Explainer(explained, ["CPUExecutionProvider"])({"x": data}, target=1 if name == "classes" else None)
    explainer = shap.TreeExplainer(model, data[:30].astype(np.float64), feature_perturbation="interventional")
    wanted = explainer.shap_values(data.astype(np.float64), check_additivity=False)
    wanted = wanted[..., 1] if name == "classes" else wanted
    np.testing.assert_allclose(found.relevance["x"], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_centres_of_many_rows(data):
    """The values against centres are shap's against rows that are repeated as their weights say."""
    rows = np.random.default_rng(3).normal(size=(2000, FEATURES)).astype(np.float32)
    model = MODELS["forest"].fit(data, data[:, 0] * data[:, 1])
    explained = onnxlrp.convert(exported(model), "epsilon(trees='interventional')", background=("kmeans=10", rows))
    assert explained.interface.background_rows == 10
    found = onnxlrp.Explainer(explained, ["CPUExecutionProvider"])({"x": data[:5]})
    some, shares = centres(rows, 10)
    repeated = np.repeat(some, np.round(shares * len(rows)).astype(int), axis=0).astype(np.float64)
    # Without a masker shap draws 100 of the rows.
    every = shap.maskers.Independent(repeated, max_samples=len(repeated))
    explainer = shap.TreeExplainer(model, every, feature_perturbation="interventional")
    wanted = explainer.shap_values(data[:5].astype(np.float64), check_additivity=False)
    np.testing.assert_allclose(found.relevance["x"], wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
