"""`onnxlrp.explain` on trained estimators, against their own predictions and SHAP's values."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pytest.importorskip("sklearn")
pytest.importorskip("skl2onnx")
pd = pytest.importorskip("pandas")
shap = pytest.importorskip("shap")

from sklearn import (  # noqa: E402
    calibration,
    compose,
    ensemble,
    linear_model,
    model_selection,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)  # fmt: skip

from onnxlrp.integrations.estimators import onnx_of  # noqa: E402

RANDOM = np.random.default_rng(0)
ROWS = 120
CUSTOMERS = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, ROWS),
        "income": RANDOM.normal(3000, 800, ROWS),
        "contract": RANDOM.choice(["month", "year"], ROWS),
    }
)
NUMBERS = CUSTOMERS[["age", "income"]]
LEFT = ((CUSTOMERS.age < 40) & (CUSTOMERS.contract == "month")).astype(int)


def encoded(model: Any) -> Any:
    steps = [
        ("numbers", preprocessing.StandardScaler(), ["age", "income"]),
        ("words", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["contract"]),
    ]
    return pipeline.make_pipeline(compose.ColumnTransformer(steps), model)


def totals(explanation: onnxlrp.Explanation) -> np.ndarray:
    return sum(value.reshape(len(value), -1).sum(1, dtype=np.float64) for value in explanation.relevance.values())


def test_a_pipeline_is_explained_at_its_raw_columns():
    """Both columns of the one-hot code are one reason, in the words of the table."""
    model = encoded(ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0)).fit(CUSTOMERS, LEFT)
    explanation = onnxlrp.explain(model, CUSTOMERS)
    assert list(explanation.relevance) == ["age", "income", "contract"]
    np.testing.assert_allclose(explanation.base_value + totals(explanation), explanation.raw_score, atol=1e-5)
    margins = model.decision_function(CUSTOMERS)
    np.testing.assert_allclose(np.abs(explanation.raw_score), np.abs(margins), rtol=1e-4)
    words = [str(reason) for row in explanation.reasons(against=True) for reason in row]
    assert any(word.startswith("contract = month lowered the raw score by") for word in words)


def test_identifiers_targets_and_options_are_passed_on():
    model = encoded(tree.DecisionTreeClassifier(max_depth=3)).fit(CUSTOMERS, np.where(LEFT, "leaves", "stays"))
    named = CUSTOMERS.assign(customer=[f"C-{i}" for i in range(ROWS)]).set_index(
        pd.Index(range(7, 7 + ROWS), name="row")
    )
    explanation = onnxlrp.explain(model, named, target="leaves", ids="customer", ledger=True)
    frame = explanation.to_frame()
    assert frame.customer[3] == "C-3" and frame.row[0] == 7 and (frame.target == 0).all()
    assert explanation.ledger is not None
    np.testing.assert_allclose(frame.score, model.predict_proba(CUSTOMERS)[:, 0], atol=1e-6)


@pytest.mark.parametrize(
    "model",
    [
        ensemble.RandomForestClassifier(5, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=5),
        linear_model.LogisticRegression(),
        neural_network.MLPClassifier((5,), max_iter=20, random_state=0),
        svm.SVC(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_numbers_are_one_input_with_the_names_of_the_columns(model):
    explanation = onnxlrp.explain(
        pipeline.make_pipeline(preprocessing.StandardScaler(), model).fit(NUMBERS, LEFT), NUMBERS
    )
    assert explanation.columns == {"X": ("age", "income")}
    assert {"age", "age_relevance"} <= set(explanation.to_frame())
    array = onnxlrp.explain(model.fit(NUMBERS.to_numpy(), LEFT), NUMBERS.to_numpy()[:5])
    assert array.relevance["X"].shape == (5, 2) and not array.columns


def test_the_values_are_those_of_shap():
    model = ensemble.RandomForestRegressor(5, max_depth=4, random_state=0).fit(NUMBERS, CUSTOMERS.income)
    explanation = onnxlrp.explain(model, NUMBERS)
    expected = shap.TreeExplainer(model).shap_values(NUMBERS)
    np.testing.assert_allclose(explanation.relevance["X"], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("package", ["xgboost", "lightgbm", "catboost"])
@pytest.mark.parametrize("kind", ["Classifier", "Regressor"])
def test_boosted_trees_of_other_packages(package, kind):
    module = pytest.importorskip(package)
    pytest.importorskip("onnxmltools")
    name, quiet = {
        "xgboost": ("XGB", {"n_estimators": 5}),
        "lightgbm": ("LGBM", {"n_estimators": 5, "verbose": -1}),
        "catboost": ("CatBoost", {"iterations": 5, "verbose": 0, "allow_writing_files": False}),
    }[package]
    model = getattr(module, name + kind)(**quiet).fit(NUMBERS, LEFT if kind == "Classifier" else CUSTOMERS.income)
    explanation = onnxlrp.explain(model, NUMBERS)
    expected = shap.TreeExplainer(model).shap_values(NUMBERS)
    sign = np.where(explanation.target == 0, -1, 1)[:, None] if kind == "Classifier" else 1
    (relevance,) = explanation.relevance.values()
    np.testing.assert_allclose(relevance * sign, expected, atol=2e-4 * np.abs(expected).max())
    assert list(explanation.columns.values()) == [("age", "income")]
    if package != "catboost" and kind == "Classifier":
        whole = encoded(getattr(module, name + kind)(**quiet)).fit(CUSTOMERS, LEFT)
        assert list(onnxlrp.explain(whole, CUSTOMERS[:4]).relevance) == ["age", "income", "contract"]


def test_one_row_of_a_frame_is_taken():
    """A row of numbers and words has cells of type object, which become numbers again."""
    model = encoded(tree.DecisionTreeClassifier(max_depth=3)).fit(CUSTOMERS, LEFT)
    one = onnxlrp.explain(model, CUSTOMERS.iloc[5], target=1)
    assert one.to_frame()["index"].tolist() == [5]
    np.testing.assert_array_equal(totals(one), totals(onnxlrp.explain(model, CUSTOMERS, target=1))[5:6])


def test_polars_frames_are_taken():
    pl = pytest.importorskip("polars")
    model = encoded(tree.DecisionTreeClassifier(max_depth=3)).fit(CUSTOMERS, LEFT)
    frame = pl.DataFrame({name: CUSTOMERS[name].to_list() for name in CUSTOMERS} | {"customer": list(range(ROWS))})
    explanation = onnxlrp.explain(model, frame, ids="customer")
    np.testing.assert_array_equal(totals(explanation), totals(onnxlrp.explain(model, CUSTOMERS)))
    assert explanation.to_frame("polars")["customer"].to_list() == list(range(ROWS))


def test_what_cannot_be_explained_is_named():
    lying = tree.DecisionTreeClassifier().fit(NUMBERS, LEFT)
    own = lying.predict_proba(NUMBERS)
    own[3] = 1 - own[3]
    lying.predict_proba = lambda X: own
    with pytest.raises(InputError, match=re.escape("otherwise than the estimator in 1 row (the first: row 3, [")):
        onnxlrp.explain(lying, NUMBERS)
    with pytest.raises(InputError, match=r"this DecisionTreeClassifier cannot predict these rows: .*feature names"):
        onnxlrp.explain(tree.DecisionTreeClassifier().fit(NUMBERS, LEFT), NUMBERS[["income", "age"]])
    with pytest.raises(InputError, match="a StandardScaler predicts nothing"):
        onnxlrp.explain(preprocessing.StandardScaler().fit(NUMBERS), NUMBERS)
    model = encoded(tree.DecisionTreeClassifier()).fit(CUSTOMERS, LEFT)
    with pytest.raises(InputError, match=r"column 'contract' holds datetime64.*neither numbers nor words"):
        onnxlrp.explain(model, CUSTOMERS.assign(contract=pd.Timestamp("2020-01-01")))
    with pytest.raises(InputError, match=r"lacks column 'contract' \(did you mean 'contracts'\?\): .* trained"):
        onnxlrp.explain(model, CUSTOMERS.rename(columns={"contract": "contracts"}))
    with pytest.raises(InputError, match="skl2onnx cannot write a DummyFit as an ONNX model"):
        onnxlrp.explain(DummyFit().fit(NUMBERS, LEFT), NUMBERS)


class DummyFit(linear_model.LinearRegression):
    """A regressor that skl2onnx does not know."""


def test_labels_of_linear_classifiers_are_names_of_classes():
    words = np.where(LEFT, "leaves", "stays")
    model = linear_model.LogisticRegression(max_iter=1000).fit(NUMBERS, words)
    explanation = onnxlrp.explain(model, NUMBERS[:4], target="stays")
    assert explanation.target.tolist() == [1] * 4
    np.testing.assert_allclose(explanation.score, model.predict_proba(NUMBERS[:4])[:, 1], rtol=1e-5)
    assert explanation.to_frame().label.tolist() == ["stays"] * 4


@pytest.mark.parametrize("kind", [svm.LinearSVC, svm.SVC])
@pytest.mark.parametrize("labels", [float, bool])
def test_labels_are_compared_by_their_values(kind, labels):
    rows = NUMBERS.to_numpy(np.float32) / (50, 3000)
    onnxlrp.explain(kind().fit(rows, LEFT.astype(labels)), rows[:4])


@pytest.mark.parametrize(
    ("X", "words"),
    [
        (NUMBERS[:0], "X holds no row"),
        (NUMBERS.to_numpy()[:, :1], "cannot predict these rows: X has 1 features"),
    ],
)
def test_rows_that_do_not_fit(X, words):
    with pytest.raises(InputError, match=words):
        onnxlrp.explain(tree.DecisionTreeClassifier().fit(NUMBERS, LEFT), X)


def test_estimators_that_do_not_fit():
    with pytest.raises(InputError, match="not fitted yet"):
        onnxlrp.explain(tree.DecisionTreeClassifier(), NUMBERS)
    several = ensemble.RandomForestClassifier(2).fit(NUMBERS, np.c_[LEFT, CUSTOMERS.age > 40])
    with pytest.raises(InputError, match="predicts 2 things at once"):
        onnxlrp.explain(several, NUMBERS)
    mixed = encoded(tree.DecisionTreeClassifier()).fit(CUSTOMERS, LEFT)
    with pytest.raises(InputError, match="give a data frame"):
        onnx_of(mixed, CUSTOMERS.to_numpy())
    with pytest.raises(InputError, match=r"\[2\]: X.reshape"):
        onnx_of(tree.DecisionTreeClassifier().fit(NUMBERS, LEFT), NUMBERS.to_numpy()[0])


@pytest.mark.parametrize("kind", ["search", "calibrated"])
def test_estimators_that_hold_boosted_trees(kind):
    booster = pytest.importorskip("xgboost").XGBClassifier(n_estimators=3)
    model = (
        model_selection.GridSearchCV(booster, {"max_depth": [2, 3]}, cv=2)
        if kind == "search"
        else calibration.CalibratedClassifierCV(booster, cv=2)
    )
    explanation = onnxlrp.explain(model.fit(NUMBERS, LEFT), NUMBERS[:4])
    np.testing.assert_allclose(explanation.score, model.predict_proba(NUMBERS[:4]).max(1), rtol=1e-5)
