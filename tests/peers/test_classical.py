"""Pipelines as skl2onnx and onnxmltools write them, end to end: trees, linear models, support vectors, preparation.

Run where scikit-learn and these converters are installed; of LightGBM, XGBoost and treeinterpreter each by itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.trees.covers import with_covers
from tests.operators.case import onnxruntime
from tests.oracle import support_vectors
from tests.oracle import trees as oracle

pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import compose, datasets, ensemble, impute, linear_model, pipeline, preprocessing, svm, tree  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.feature_extraction import DictVectorizer  # noqa: E402

Array = np.ndarray
TYPES = skl2onnx.common.data_types
DATA = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
CLASSES = [name for name in DATA if name != "diabetes"]


@pytest.fixture(autouse=True)
def plain_attributes(monkeypatch):
    """Today's protocol buffers take no truth values for integers; the converters still give them."""
    make = helper.make_attribute

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [int(v) if isinstance(v, (bool, np.bool_, np.integer)) else v for v in value]
        return value

    monkeypatch.setattr(
        helper, "make_attribute", lambda name, value, *rest, **more: make(name, plain(value), *rest, **more)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def data(name: str, missing: bool = False) -> tuple[Array, Array]:
    x, y = DATA[name](return_X_y=True)
    x = x.astype(np.float32)
    if missing:
        x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    return x, y


def write(model: Any, x: Array) -> onnx.ModelProto:
    """In the converter that fits the model's maker."""
    maker = type(model).__module__.split(".")[0]
    if maker == "sklearn":
        return skl2onnx.to_onnx(model, x[:1])
    tools = pytest.importorskip("onnxmltools")
    types = pytest.importorskip("onnxmltools.convert.common.data_types")
    convert = {"lightgbm": tools.convert_lightgbm, "xgboost": tools.convert_xgboost}[maker]
    return convert(model, initial_types=[("X", types.FloatTensorType([None, x.shape[1]]))])


def explain(
    source: onnx.ModelProto, feeds: Mapping[str, Array], **options: Any
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Relevance by input, and all outputs; the source's own outputs are what they were, and the ledger closes."""
    converted = onnxlrp.convert(source, ledger=True, **options)
    found = onnxruntime(converted.to_proto())(feeds)
    before = onnxruntime(source)(feeds)
    for name, value in before.items():
        for a, b in zip(np.ravel(found[name]), np.ravel(value), strict=True):
            if isinstance(b, dict):
                np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-5, atol=1e-6)
            elif isinstance(b, str):
                assert a == b
            else:
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    ledger = found["relevance_ledger"].astype(np.float64)
    relevance = {name: found[out] for name, out in converted.interface.relevance.items()}
    size = max(1.0, np.abs(ledger).max())
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), atol=1e-5 * size)
    total = sum(r.sum(dtype=np.float64) for r in relevance.values())
    assert abs(ledger[0, 0] - total - ledger[:, 2:].sum()) < 1e-4 * size
    return relevance, found


# ---------------------------------------------------------------------------------------------------------- trees


def sums(source: onnx.ModelProto, x: Array) -> tuple[Array, Array, Array]:
    """What the features did, the base and the score, by class, from the walk in numpy."""
    node = next(n for n in source.graph.node if n.op_type.startswith("TreeEnsemble"))
    given = oracle.attributes(node)
    labels = given.get("classlabels_int64s", [0] * given.get("n_targets", 1))
    exact = oracle.explain(node, x, len(labels))
    base = np.asarray(given.get("base_values", [0.0] * len(labels)))
    if len(labels) == 2 and set(given["class_ids"]) == {0}:
        start, score = exact.base[:, :1] + base[0], exact.sums[:, :1] + base[0]
        rest = float(min(given["class_weights"]) >= 0 and given.get("post_transform", "NONE") != "LOGISTIC")
        parts = np.concatenate([-exact.parts[..., :1], exact.parts[..., :1]], axis=-1)
        return parts, np.concatenate([rest - start, start], axis=1), np.concatenate([rest - score, score], axis=1)
    return exact.parts, exact.base + base, exact.sums + base


def check_trees(source: onnx.ModelProto, x: Array) -> None:
    """Contributions and base make the prediction, and are those of the same recursion in numpy."""
    relevance, _ = explain(source, {"X": x})
    parts, base, scores = sums(source, x)
    rows, chosen = np.arange(len(x)), scores.argmax(1)
    size = max(1.0, np.abs(scores).max())
    found = relevance["X"].astype(np.float64)
    np.testing.assert_allclose(found, parts[rows, :, chosen], atol=1e-5 * size)
    np.testing.assert_allclose(found.sum(1) + base[rows, chosen], scores[rows, chosen], atol=1e-5 * size)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("make", ["RandomForestClassifier", "ExtraTreesClassifier", "GradientBoostingClassifier"])
def test_forests_and_boosting(make, name):
    x, y = data(name)
    model = getattr(ensemble, make)(n_estimators=6, random_state=0).fit(x, y)
    check_trees(write(model, x), x[::40])


@pytest.mark.parametrize("name", CLASSES)
def test_histogram_boosting(name):
    x, y = data(name, missing=True)
    model = ensemble.HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, y)
    check_trees(write(model, x), x[::40])


@pytest.mark.parametrize("name", CLASSES)
def test_lightgbm(name):
    lightgbm = pytest.importorskip("lightgbm")
    x, y = data(name, missing=True)
    check_trees(write(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(x, y), x), x[::40])


@pytest.mark.parametrize("name", CLASSES)
def test_xgboost(name):
    xgboost = pytest.importorskip("xgboost")
    x, y = data(name, missing=True)
    check_trees(write(xgboost.XGBClassifier(n_estimators=5).fit(x, y), x), x[::40])


@pytest.mark.parametrize(
    "make",
    ["DecisionTree", "RandomForest", "ExtraTrees", "GradientBoosting", "HistGradientBoosting", "lightgbm", "xgboost"],
)
def test_regressors(make):
    x, y = data("diabetes")
    if make == "DecisionTree":
        model = tree.DecisionTreeRegressor(random_state=0)
    elif make == "HistGradientBoosting":
        model = ensemble.HistGradientBoostingRegressor(max_iter=20, random_state=0)
    elif make == "lightgbm":
        model = pytest.importorskip("lightgbm").LGBMRegressor(n_estimators=20, verbose=-1)
    elif make == "xgboost":
        model = pytest.importorskip("xgboost").XGBRegressor(n_estimators=20)
    else:
        model = getattr(ensemble, f"{make}Regressor")(n_estimators=5, random_state=0)
    check_trees(write(model.fit(x, y), x), x[::40])


def test_covers():
    """With the trainer's own counts a node's expectation is scikit-learn's, and relevance is treeinterpreter's."""
    x, y = data("iris")
    model = ensemble.RandomForestClassifier(10, random_state=0).fit(x, y)
    source = with_covers(write(model, x), [t.tree_.weighted_n_node_samples for t in model.estimators_])
    found = explain(source, {"X": x}, composite='epsilon(trees="path")')[0]["X"]
    paths = [(t.tree_, t.decision_path(x)) for t in model.estimators_]
    chosen = model.predict_proba(x).argmax(1)
    expected = np.zeros(x.shape)
    for inner, path in paths:
        for n in range(len(x)):
            nodes = path.indices[path.indptr[n] : path.indptr[n + 1]]
            share = inner.value[nodes, 0, chosen[n]] / inner.value[nodes, 0].sum(1)
            np.add.at(expected[n], inner.feature[nodes[:-1]], np.diff(share) / len(paths))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    interpreter = pytest.importorskip("treeinterpreter.treeinterpreter")
    theirs = interpreter.predict(model, x)[2]
    np.testing.assert_allclose(found, theirs[np.arange(len(x)), :, chosen], atol=1e-6)


# ---------------------------------------------------------------------------------------------------- linear, vectors


@pytest.mark.parametrize(
    "model",
    [linear_model.LogisticRegression(max_iter=50), svm.LinearSVC(), linear_model.RidgeClassifier()],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_linear_classifiers(model, name):
    """Coefficient times feature, of the chosen class."""
    x, y = data(name)
    x = preprocessing.StandardScaler().fit_transform(x).astype(np.float32)
    model.fit(x, y)
    found, _ = explain(write(model, x), {"X": x[::9]}, composite="lrp0")
    decision = model.decision_function(x[::9])
    coefficients = np.atleast_2d(model.coef_)
    if decision.ndim > 1:
        expected = coefficients[decision.argmax(1)] * x[::9]
    else:
        # Where the only column is the second class's.
        column = not isinstance(model, linear_model.LogisticRegression)
        expected = np.where(column | (decision > 0), 1, -1)[:, None] * coefficients * x[::9]
    np.testing.assert_allclose(found["X"], expected, atol=1e-5)


@pytest.mark.parametrize(
    "model", [linear_model.Ridge(), linear_model.Lasso(), svm.LinearSVR(), svm.SVR(kernel="linear")]
)
def test_linear_regressors(model):
    x, y = data("diabetes")
    model.fit(x, y)
    found, _ = explain(write(model, x), {"X": x[::20]}, composite="lrp0")
    np.testing.assert_allclose(found["X"], model.coef_.reshape(1, -1) * x[::20], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", ["rbf", "poly", "sigmoid", "linear"])
def test_support_vector_regressors(kernel):
    x, y = data("diabetes")
    source = write(svm.SVR(kernel=kernel, C=10, coef0=0.5).fit(x, y), x)
    machine = support_vectors.machine(source.graph.node[0])
    rows = x[::60]
    found, _ = explain(source, {"X": rows})
    values = machine.values(rows)
    expected = [machine.relevance(row, v) for row, v in zip(rows.astype(np.float64), values, strict=True)]
    np.testing.assert_allclose(found["X"], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("probability", [False, True])
@pytest.mark.parametrize("kernel", ["rbf", "poly", "linear"])
@pytest.mark.parametrize("name", ["iris", "breast_cancer"])
def test_support_vector_classifiers(name, kernel, probability):
    """Of three classes scikit-learn's own scores are made of the pairs' in many steps; of probabilities the log-odds
    are explained. Both conserve."""
    x, y = data(name)
    x = preprocessing.StandardScaler().fit_transform(x).astype(np.float32)
    source = write(svm.SVC(kernel=kernel, probability=probability).fit(x, y), x)
    found, _ = explain(source, {"X": x[::30]})
    assert np.abs(found["X"]).max() > 1e-3


def test_one_class():
    x, _ = data("iris")
    found, _ = explain(write(svm.OneClassSVM().fit(x), x), {"X": x[::30]}, output="scores")
    assert np.isfinite(found["X"]).all()


# ------------------------------------------------------------------------------------------------------- pipelines


def test_preparation_reports_the_original_columns():
    """Scaling passes: coefficient times scaled feature, at the column it was scaled from."""
    x, y = data("wine")
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression()).fit(x, y)
    found, _ = explain(write(model, x), {"X": x[::9]}, composite="lrp0")
    scaled, chosen = model[0].transform(x[::9]), model.predict(x[::9])
    np.testing.assert_allclose(found["X"], model[1].coef_[chosen] * scaled, atol=1e-4)


@pytest.mark.parametrize(
    "step",
    [
        preprocessing.MinMaxScaler(),
        preprocessing.RobustScaler(),
        preprocessing.MaxAbsScaler(),
        preprocessing.Normalizer(),
        preprocessing.Binarizer(threshold=2.0),
        impute.SimpleImputer(),
        PCA(3),
    ],
    ids=lambda s: type(s).__name__,
)
def test_steps_before_a_forest(step):
    """One-to-one steps hand each column what the forest gives the column made of it; the others conserve."""
    x, y = data("iris", missing=isinstance(step, impute.SimpleImputer))
    model = pipeline.make_pipeline(step, ensemble.RandomForestClassifier(5, random_state=0)).fit(x, y)
    source = write(model, x)
    rows = x[::9]
    found, _ = explain(source, {"X": rows})
    if not isinstance(step, PCA):
        values = onnxruntime(write(pipeline.make_pipeline(step), x))({"X": rows})["variable"]
        parts, _, scores = sums(source, values)
        np.testing.assert_allclose(found["X"], parts[np.arange(len(rows)), :, scores.argmax(1)], atol=1e-5)


def mixed() -> tuple[dict[str, Array], Array, list]:
    """Columns of floats with a missing value, words and integers."""
    rng = np.random.default_rng(0)
    frame = {
        "age": rng.normal(size=(80, 1)).astype(np.float32),
        "fare": rng.normal(size=(80, 1)).astype(np.float32),
        "word": rng.choice(["a", "b", "c"], (80, 1)).astype(object),
        "rank": rng.integers(0, 4, (80, 1)),
    }
    frame["age"][3] = np.nan
    y = (frame["rank"][:, 0] + (frame["word"][:, 0] == "b") + 0.5 * frame["fare"][:, 0] > 2).astype(int)
    kinds = [TYPES.FloatTensorType, TYPES.FloatTensorType, TYPES.StringTensorType, TYPES.Int64TensorType]
    return frame, y, [(name, kind([None, 1])) for name, kind in zip(frame, kinds, strict=True)]


@pytest.mark.parametrize(
    "last",
    [
        linear_model.LogisticRegression(),
        ensemble.RandomForestClassifier(5, max_depth=4, random_state=0),
        ensemble.GradientBoostingClassifier(n_estimators=5, random_state=0),
        svm.SVC(),
    ],
    ids=lambda m: type(m).__name__,
)
def test_columns_of_all_kinds(last):
    """A ColumnTransformer of imputed and scaled numbers and of one-hot words and integers: relevance per column."""
    pandas = pytest.importorskip("pandas")
    columns, y, types = mixed()
    numbers = pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    prepare = compose.ColumnTransformer(
        [
            ("numbers", numbers, ["age", "fare"]),
            ("words", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["word"]),
            ("ranks", preprocessing.OneHotEncoder(), ["rank"]),
        ]
    )
    frame = pandas.DataFrame({name: column[:, 0] for name, column in columns.items()})
    model = pipeline.make_pipeline(prepare, last).fit(frame, y)
    source = skl2onnx.convert_sklearn(model, initial_types=types)
    feeds = {name: column[:9] for name, column in columns.items()}
    found, _ = explain(source, feeds, composite="lrp0")
    assert list(found) == list(columns)
    assert all(r.shape == (9, 1) and r.dtype == np.float32 for r in found.values())
    if isinstance(last, linear_model.LogisticRegression):
        ready = prepare.transform(frame[:9])
        parts = (ready.toarray() if hasattr(ready, "toarray") else ready) * last.coef_[0]
        parts *= np.where(model.predict(frame[:9]) > 0, 1, -1)[:, None]
        expected = np.stack([parts[:, 0], parts[:, 1], parts[:, 2:5].sum(1), parts[:, 5:].sum(1)], axis=1)
        np.testing.assert_allclose(np.hstack(list(found.values())), expected, atol=1e-5)


@pytest.mark.parametrize("encoder", [preprocessing.OneHotEncoder(), preprocessing.OrdinalEncoder()])
@pytest.mark.parametrize("kind", [np.float32, np.int64, object])
def test_categories(encoder, kind):
    """Of floats, integers and words, one-hot or numbered."""
    rng = np.random.default_rng(1)
    x = rng.integers(0, 4, (60, 2)).astype(kind)
    if kind is object:
        x = np.array(["a", "b", "c", "d"])[x.astype(int)].astype(object)
    y = rng.integers(0, 2, 60)
    model = pipeline.make_pipeline(encoder, linear_model.LogisticRegression()).fit(x, y)
    types = {np.float32: TYPES.FloatTensorType, np.int64: TYPES.Int64TensorType, object: TYPES.StringTensorType}
    source = skl2onnx.convert_sklearn(model, initial_types=[("X", types[kind]([None, 2]))])
    found, _ = explain(source, {"X": x[:9]}, composite="lrp0")
    ready = model[0].transform(x[:9])
    parts = (ready.toarray() if hasattr(ready, "toarray") else ready) * model[1].coef_[0]
    parts *= np.where(model.predict(x[:9]) > 0, 1, -1)[:, None]
    np.testing.assert_allclose(found["X"], parts.reshape(9, 2, -1).sum(-1), atol=1e-5)


def test_a_map():
    """DictVectorizer reads a map: relevance by its vocabulary."""
    rows = [{"a": 1.0 + i % 3, "b": float(i)} for i in range(60)]
    y = np.arange(60) > 30
    model = pipeline.make_pipeline(DictVectorizer(sparse=False), linear_model.LogisticRegression()).fit(rows, y)
    types = TYPES.DictionaryType(TYPES.StringTensorType([1]), TYPES.FloatTensorType([]))
    source = skl2onnx.convert_sklearn(model, initial_types=[("X", types)])
    found = onnxlrp.Explainer(onnxlrp.convert(source, "lrp0"))({"X": {"b": 50.0, "a": 2.0}})
    np.testing.assert_allclose(found.relevance["X"], model[1].coef_ * [[2.0, 50.0]], rtol=1e-4)
