"""Kernel machines as skl2onnx writes them: relevance against exact Shapley values of the same reference.

The Shapley values come from their definition, over all coalitions of features that are what they are or what they are
in the reference. Run where scikit-learn and skl2onnx are installed.
"""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.case import onnxruntime

pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import datasets, gaussian_process, pipeline, preprocessing, svm  # noqa: E402

pytestmark = pytest.mark.peers
Array = np.ndarray
Score = Callable[[Array], Array]
"""Rows -> the scores that are explained, [rows] or [rows, classes]."""
K = gaussian_process.kernels
CDIST = {gaussian_process.GaussianProcessRegressor: {"optim": "cdist"}}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def diabetes() -> tuple[Array, Array]:
    """Eight features, so that all coalitions are few."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return preprocessing.StandardScaler().fit_transform(x[:, [0, 1, 2, 3, 4, 6, 8, 9]]).astype(np.float32), y


def iris(classes: int = 3) -> tuple[Array, Array]:
    x, y = datasets.load_iris(return_X_y=True)
    chosen = y >= 3 - classes
    return preprocessing.StandardScaler().fit_transform(x).astype(np.float32)[chosen], y[chosen] - (3 - classes)


def shapley(score: Score, x: Array, r: Array) -> Array:
    """Of one row against a reference: [features, …]."""
    count = len(x)
    masks = np.array(list(itertools.product([False, True], repeat=count)))
    values = score(np.where(masks, x, r).astype(np.float32))
    found = []
    for i in range(count):
        without = masks[~masks[:, i]]
        sizes = without.sum(1)
        weights = np.array([math.factorial(s) * math.factorial(count - s - 1) for s in sizes]) / math.factorial(count)
        changes = values[masks[:, i]] - values[~masks[:, i]]
        found.append(np.tensordot(weights, changes, 1))
    return np.array(found)


def correlations(a: Array, b: Array) -> Array:
    return np.array([np.corrcoef(u, v)[0, 1] for u, v in zip(a, b, strict=True)])


def relevance(source: onnx.ModelProto, x: Array, target: int = -1, **options: Any) -> Array:
    """Relevance of a class (of all rows) by its number; the ledger closes."""
    converted = onnxlrp.convert(source, ledger=True, **options)
    feeds = {source.graph.input[0].name: x}
    if converted.interface.target_input and target >= 0:
        feeds[converted.interface.target_input] = np.array([target])
    found = onnxruntime(converted.to_proto())(feeds)
    table = found["relevance_ledger"]
    size = max(1.0, np.abs(table).max())
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=2e-5 * size)
    (name,) = converted.interface.relevance.values()
    return found[name]


# ----------------------------------------------------------------------------------------------------- regressors


def process(kernel: Any, **options: Any) -> Any:
    return gaussian_process.GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None, **options)


SCALES = np.linspace(1.5, 3.0, 8)
REGRESSORS = {
    "SVR": (svm.SVR(C=30), None),
    "NuSVR": (svm.NuSVR(C=30), None),
    "RBF": (process(K.RBF(2.0), normalize_y=True), None),
    "RBF, CDist": (process(K.RBF(2.0)), CDIST),
    "RBF, a scale a feature": (process(K.RBF(SCALES)), None),
    "constant and noise": (process(K.ConstantKernel(2.0) * K.RBF(2.0) + K.WhiteKernel(0.1)), None),
    "Matérn 1/2": (process(K.Matern(4.0, nu=0.5)), None),
    "Matérn 3/2": (process(K.Matern(3.0, nu=1.5), normalize_y=True), None),
    "Matérn 3/2, CDist": (process(K.Matern(3.0, nu=1.5)), CDIST),
    "rational quadratic": (process(K.RationalQuadratic(3.0, 1.5)), None),
    "sum": (process(K.RBF(2.0) + K.Matern(3.0)), None),
    "product": (process(K.RBF(4.0) * K.RationalQuadratic(4.0)), None),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors(name):
    """Smooth kernels: ≥ .98 with Shapley values as the mean of rows, ≥ .9 with mean imputation as their median."""
    model, options = REGRESSORS[name]
    x, y = diabetes()
    model.fit(x[:150], y[:150] / 50)
    source = skl2onnx.to_onnx(model, x[:1], options=options)
    run = onnxruntime(source)

    def score(rows: Array) -> Array:
        return next(iter(run({"X": rows}).values())).reshape(-1).astype(np.float64)

    rows, r = x[::40], x.mean(0)
    found = relevance(source, rows, background=x)
    np.testing.assert_allclose(found.sum(1), score(rows) - score(r[None]), atol=2e-4)
    by_row = correlations(found, np.stack([shapley(score, row, r) for row in rows]))
    assert by_row.mean() >= 0.98 and by_row.min() >= 0.9
    effects = [score(rows) - score(np.where(np.arange(8) == i, r, rows).astype(np.float32)) for i in range(8)]
    assert np.median(correlations(found, np.stack(effects, axis=1))) >= 0.9


def test_a_kernel_is_one_step():
    """Whatever it is made of, also as a sum, and the plan names the reference."""
    x, y = diabetes()
    for name in ("RBF", "RBF, CDist", "constant and noise", "sum", "product"):
        model, options = REGRESSORS[name]
        plan = onnxlrp.inspect(skl2onnx.to_onnx(model.fit(x[:40], y[:40]), x[:1], options=options))
        steps = [step for step in plan.steps if step.operator == "Kernel"]
        assert len(steps) == 1 and "the mean of the kernel's own rows" in steps[0].why, name
        assert not any(step.operator in ("Exp", "Scan") for step in plan.steps), name


def test_a_scaler_in_a_pipeline():
    """The reference is the mean of the data that the scaler was fitted to."""
    x, y = datasets.load_diabetes(return_X_y=True)
    x = (x * 100 + 3).astype(np.float32)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVR(C=30)).fit(x[:200], y[:200])
    source = skl2onnx.to_onnx(model, x[:1])
    expected = model.predict(x[:9]) - model.predict(x[:200].mean(0, keepdims=True))
    np.testing.assert_allclose(relevance(source, x[:9]).sum(1), expected, rtol=1e-3, atol=2e-2)


# ----------------------------------------------------------------------------------------------------- classifiers


def log_odds(model: Any) -> Score:
    """Of each class: the sum over its pairs of ± the decision value, or of its log-odds where there are any."""
    pairs = copy.copy(model)
    pairs.decision_function_shape = "ovo"
    classes = list(itertools.combinations(range(len(model.classes_)), 2))

    def score(rows: Array) -> Array:
        # The pairs' own values, positive for the first class; of two classes scikit-learn turns the sign.
        values = pairs.decision_function(rows).reshape(len(rows), -1) * (-1 if len(classes) == 1 else 1)
        a = np.array(model.probA_) if model.probability is True else np.full(len(classes), -1.0)
        totals = np.zeros((len(rows), len(model.classes_)))
        for pair, (i, j) in enumerate(classes):
            totals[:, i] -= a[pair] * values[:, pair]
            totals[:, j] += a[pair] * values[:, pair]
        return totals

    return score


CLASSIFIERS = {
    "SVC": svm.SVC(),
    "NuSVC": svm.NuSVC(nu=0.2),
    "SVC, probability": svm.SVC(probability=True, random_state=0),
    "NuSVC, probability": svm.NuSVC(nu=0.2, probability=True, random_state=0),
}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers(name, classes):
    """γ·d is about 1: ≥ .98 with the Shapley values of the class as the mean of rows; of two classes one is the other's
    negative."""
    x, y = iris(classes)
    model = CLASSIFIERS[name].fit(x, y)
    source = skl2onnx.to_onnx(model, x[:1], options={"zipmap": False})
    rows, r = x[::9], x.mean(0)
    exact = np.stack([shapley(log_odds(model), row, r) for row in rows])
    if classes == 2 and "probability" not in name:
        # The file's columns are ±f, and f is positive for the second class.
        exact = exact[:, :, ::-1]
    found = []
    for k in range(classes):
        found.append(relevance(source, rows, k, output="probabilities", background=x))
        by_row = correlations(found[k], exact[:, :, k])
        assert by_row.mean() >= 0.98 and by_row.min() >= 0.9
    if classes == 2:
        np.testing.assert_allclose(found[0], -found[1], atol=1e-4 * np.abs(found[1]).max())


def test_outliers():
    """OneClassSVM's score falls where a row is unusual, and so does that of the features that make it so."""
    x, _ = iris()
    model = svm.OneClassSVM(gamma=0.3).fit(x)
    source = skl2onnx.to_onnx(model, x[:1])
    rows, r = x[::9].copy(), x.mean(0)
    rows[0, 2] += 4
    found = relevance(source, rows, output="scores", background=x)
    exact = np.stack([shapley(model.decision_function, row, r) for row in rows])
    assert correlations(found, exact).min() >= 0.95
    assert found[0].argmin() == 2 and found[0, 2] < 0
    np.testing.assert_allclose(
        found.sum(1), model.decision_function(rows) - model.decision_function(r[None]), atol=1e-3
    )
