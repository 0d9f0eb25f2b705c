"""The output side of what scikit-learn and torch export: signs of both classes, each class's own score, one relevance
whichever exporter wrote the file."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.errors import OnnxLrpError
from tests.operators.case import onnxruntime
from tests.peers.test_classical import plain_attributes  # noqa: F401
from tools.cases.lib import correlation, effects, export

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
skl2onnx = pytest.importorskip("skl2onnx")

from sklearn import (  # noqa: E402
    calibration,
    datasets,
    discriminant_analysis,
    ensemble,
    linear_model,
    model_selection,
    multiclass,
    multioutput,
    neural_network,
    preprocessing,
    svm,
)
from sklearn.utils import all_estimators  # noqa: E402

pytestmark = pytest.mark.peers
Array = np.ndarray
nn, functional = torch.nn, torch.nn.functional

# ------------------------------------------------------------------------------------ scikit-learn's binary classifiers

LOGISTIC = linear_model.LogisticRegression
PARTS = [("a", LOGISTIC()), ("b", discriminant_analysis.LinearDiscriminantAnalysis())]
GIVEN: dict[str, Callable[[], Any]] = {
    "MLPClassifier": lambda: neural_network.MLPClassifier((12,), alpha=0.1, max_iter=300, random_state=0),
    "BaggingClassifier": lambda: ensemble.BaggingClassifier(LOGISTIC(), n_estimators=3, random_state=0),
    "CalibratedClassifierCV": lambda: calibration.CalibratedClassifierCV(svm.LinearSVC(), cv=2),
    "StackingClassifier": lambda: ensemble.StackingClassifier(PARTS, cv=2),
    "OneVsRestClassifier": lambda: multiclass.OneVsRestClassifier(LOGISTIC()),
    "OneVsOneClassifier": lambda: multiclass.OneVsOneClassifier(LOGISTIC()),
    "OutputCodeClassifier": lambda: multiclass.OutputCodeClassifier(LOGISTIC()),
    "TunedThresholdClassifierCV": lambda: model_selection.TunedThresholdClassifierCV(LOGISTIC(), cv=2),
    "FixedThresholdClassifier": lambda: model_selection.FixedThresholdClassifier(LOGISTIC()),
    "ClassifierChain": lambda: multioutput.ClassifierChain(LOGISTIC()),
    "MultiOutputClassifier": lambda: multioutput.MultiOutputClassifier(LOGISTIC()),
    "VotingClassifier": lambda: ensemble.VotingClassifier(PARTS, voting="soft"),
    "SelfTrainingClassifier": lambda: _class("SelfTrainingClassifier")(LOGISTIC()),
    "QuadraticDiscriminantAnalysis": lambda: discriminant_analysis.QuadraticDiscriminantAnalysis(reg_param=0.1),
    "AdaBoostClassifier": lambda: ensemble.AdaBoostClassifier(n_estimators=10, random_state=0),
    "RandomForestClassifier": lambda: ensemble.RandomForestClassifier(10, max_depth=4, random_state=0),
    "ExtraTreesClassifier": lambda: ensemble.ExtraTreesClassifier(10, max_depth=4, random_state=0),
    "GradientBoostingClassifier": lambda: ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
    "HistGradientBoostingClassifier": lambda: ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0),
}
"""Estimators that need arguments, or are smaller with them."""

ONE_SCORE = (
    "BaggingClassifier",
    "CalibratedClassifierCV",
    "LinearDiscriminantAnalysis",
    "LogisticRegression",
    "LogisticRegressionCV",
    "MLPClassifier",
    "OneVsOneClassifier",
    "OneVsRestClassifier",
    "PassiveAggressiveClassifier",
    "Perceptron",
    "SGDClassifier",
    "StackingClassifier",
    "TunedThresholdClassifierCV",
)
"""One score for two classes: relevance of class 0 is that of class 1 with a minus."""
KERNEL_MACHINES = ("NuSVC", "SVC")
"""One score too; tools/cases/kernel_machines.py holds them against Shapley values."""
TREES = (
    "AdaBoostClassifier",
    "DecisionTreeClassifier",
    "ExtraTreeClassifier",
    "ExtraTreesClassifier",
    "GradientBoostingClassifier",
    "HistGradientBoostingClassifier",
    "RandomForestClassifier",
)
"""One class gains what the other loses; how well they are explained is measured against Shapley values elsewhere."""
ONE_COLUMN = ("LinearSVC", "RidgeClassifier", "RidgeClassifierCV")
"""The file has one column, the second class's score: no class can be chosen."""
SCORE_A_CLASS = ("ComplementNB", "GaussianNB", "MultinomialNB")
"""Each class has its joint log-likelihood, which the other's does not determine."""
QUADRATIC = ("QuadraticDiscriminantAnalysis",)
"""A score a class too. Leaving one column out is no yardstick for its cross terms: even exact Shapley values correlate
with it by .3 to .4 only."""
LOOKED_UP = ("CategoricalNB",)
"""A score a class, a sum of numbers looked up by category: each is the column's own part."""
REFUSED = {
    "BernoulliNB": "columns are compared with a threshold",
    "GaussianProcessClassifier": "the file solves a system of linear equations by an operator of onnxruntime's own",
    "KNeighborsClassifier": "the classes of the nearest rows are looked up by computed positions",
    "RadiusNeighborsClassifier": "distances are compared with a threshold",
    "MultiOutputClassifier": "the output is a list of labels, whose scores are a sequence",
}
"""Classifiers that onnxlrp refuses, and why: relevance would end in a comparison, or in an operator without a rule."""
NOT_EXPORTED = (
    "ClassifierChain",
    "DummyClassifier",
    "FixedThresholdClassifier",
    "LabelPropagation",
    "LabelSpreading",
    "NearestCentroid",
    "OutputCodeClassifier",
    "SelfTrainingClassifier",
    "VotingClassifier",
)
"""Classifiers that skl2onnx does not write."""
LISTS = (
    ONE_SCORE,
    KERNEL_MACHINES,
    TREES,
    ONE_COLUMN,
    SCORE_A_CLASS,
    QUADRATIC,
    LOOKED_UP,
    tuple(REFUSED),
    NOT_EXPORTED,
)


def _class(name: str) -> Any:
    return dict(all_estimators(type_filter="classifier"))[name]


@functools.cache
def data(name: str) -> tuple[Array, Array]:
    """Eight standardised columns of two classes; counts or categories for estimators of these."""
    x, y = datasets.load_breast_cancer(return_X_y=True)
    x = preprocessing.StandardScaler().fit_transform(x)[:200, :8].astype(np.float32)
    if name in ("MultinomialNB", "ComplementNB"):
        x = x - x.min(0)
    if name == "CategoricalNB":
        return np.digitize(x, [-1.0, 0.0, 1.0]).astype(np.int64), y[:200]
    return x, y[:200]


@functools.cache
def written(name: str) -> tuple[Any, onnx.ModelProto]:
    """A fitted estimator and its file."""
    x, y = data(name)
    estimator = GIVEN.get(name, lambda: _class(name)())()
    estimator.fit(x, np.stack([y, 1 - y], 1) if name in ("ClassifierChain", "MultiOutputClassifier") else y)
    options = None if name == "LinearSVC" else {"zipmap": False}
    return estimator, skl2onnx.to_onnx(estimator, x[:1], options=options)


def relevance(name: str, composite: str = "auto") -> list[Array]:
    """Relevance of either class, [rows, columns] each."""
    explainer = onnxlrp.Explainer(onnxlrp.convert(written(name)[1], composite))
    rows = data(name)[0][:40]
    return [explainer({"X": rows}, target=target).relevance["X"].astype(float) for target in (0, 1)]


def test_every_classifier_is_on_one_list():
    """A classifier that is new in scikit-learn must be put somewhere."""
    listed = [name for names in LISTS for name in names]
    assert len(set(listed)) == len(listed)
    assert {name for name, _ in all_estimators(type_filter="classifier")} <= set(listed)


@pytest.mark.parametrize("name", [*ONE_SCORE, *KERNEL_MACHINES, *TREES])
def test_the_first_class_has_the_second_s_negative(name):
    """Rows of one class with near certainty are left out: ε absorbs its share of a mean of probabilities next to 0."""
    run = onnxruntime(written(name)[1])
    given = run({"X": data(name)[0][:40]})["probabilities"]
    certain = (np.abs(given - 0.5).max(1) > 0.48) & (name in ("BaggingClassifier", "CalibratedClassifierCV"))
    assert certain.sum() < 32
    first, second = (found[~certain] for found in relevance(name))
    assert np.abs(second).max() > 0
    np.testing.assert_allclose(first, -second, atol=1e-4 * np.abs(second).max())


LINEAR = ("LinearDiscriminantAnalysis", "LogisticRegression", "LogisticRegressionCV", "Perceptron", "SGDClassifier")


@pytest.mark.parametrize("name", [*LINEAR, "PassiveAggressiveClassifier", "OneVsRestClassifier"])
def test_a_linear_score_belongs_to_its_columns(name):
    """Relevance of the second class is w·x, column by column: the columns' means are 0."""
    estimator = written(name)[0]
    weights = (estimator.estimators_[0] if name == "OneVsRestClassifier" else estimator).coef_[0]
    effect = data(name)[0][:40] * weights
    first, second = relevance(name)
    assert correlation(second, effect).min() >= 0.95
    assert correlation(first, -effect).min() >= 0.95


@pytest.mark.parametrize("name", ["MLPClassifier", "CalibratedClassifierCV", "BaggingClassifier"])
def test_either_class_follows_its_effects(name):
    """Leaving out a column, which puts it to its mean, changes the logit of a class as relevance says.

    Rows next to a logit of 0, where ε is ill-conditioned, and saturated ones are left out. (Stacked probabilities are
    saturated on nearly every row.)
    """
    estimator = written(name)[0]
    rows = data(name)[0][:40].astype(float)

    def logit(q: Array) -> Array:
        p = estimator.predict_proba(q)
        return np.log(p[:, 1] / p[:, 0])

    size = np.abs(logit(rows))
    used = (size > 1) & (size < 7)
    effect = effects(logit, rows[used])
    first, second = relevance(name)
    assert used.sum() > 10
    assert correlation(second[used], effect).mean() >= 0.95
    assert correlation(first[used], -effect).mean() >= 0.95


@pytest.mark.parametrize("name", ONE_COLUMN)
def test_one_column(name):
    """The score is the second class's, whatever is predicted."""
    estimator, proto = written(name)
    rows = data(name)[0][:40]
    found = onnxlrp.Explainer(onnxlrp.convert(proto))({"X": rows}).relevance["X"]
    np.testing.assert_allclose(found, rows * np.ravel(estimator.coef_), rtol=1e-2, atol=1e-4)


def own_effects(name: str, target: int) -> Array:
    """Change of a class's joint log-likelihood where a column is put to 0: its mean, or no count."""
    estimator = written(name)[0]
    rows = data(name)[0][:40].astype(float)
    if name == "CategoricalNB":
        return np.stack([estimator.feature_log_prob_[i][target, rows[:, i].astype(int)] for i in range(8)], 1)
    return effects(lambda q: estimator._joint_log_likelihood(q)[:, target], rows)


@pytest.mark.parametrize("name", [*SCORE_A_CLASS, *LOOKED_UP])
def test_each_class_follows_its_own_score(name):
    for target, found in enumerate(relevance(name)):
        agreement = correlation(found, own_effects(name, target))
        assert agreement.mean() >= 0.95, f"class {target}: {agreement.round(2)}"


@pytest.mark.parametrize("name", QUADRATIC)
def test_a_quadratic_score(name):
    """Exact Shapley values of −½(x − μ)ᵀP(x − μ) against the class's own mean μ, which is subtracted at the input."""
    estimator = written(name)[0]
    rows = data(name)[0][:40].astype(float)
    for target, found in enumerate(relevance(name)):
        rotation, scale = estimator.rotations_[target], estimator.scalings_[target]
        apart = rows - estimator.means_[target]
        values = -0.5 * apart * (apart @ ((rotation / scale) @ rotation.T))
        agreement = correlation(found, values)
        assert agreement.min() >= 0.95, f"class {target}: {agreement.round(2)}"


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why(name):
    """An error of the package, before anything is written."""
    with pytest.raises(OnnxLrpError) as raised:
        onnxlrp.convert(written(name)[1])
    assert len(str(raised.value)) > 40


@pytest.mark.parametrize("name", NOT_EXPORTED)
def test_what_the_exporter_does_not_write(name):
    """A classifier that it begins to write belongs on another list."""
    with pytest.raises((RuntimeError, NotImplementedError)):
        written(name)


# ------------------------------------------------------------------------------------------------ torch's two exporters


def _both(p: Any) -> Any:
    return torch.cat([1 - p, p], 1)


HEADS: dict[str, Callable[[Any], Any]] = {
    "sigmoid": torch.sigmoid,
    "1 - sigmoid": lambda z: 1 - torch.sigmoid(z),
    "[1 - p, p]": lambda z: _both(torch.sigmoid(z[:, :1])),
    "clamped [1 - p, p]": lambda z: _both(torch.sigmoid(z[:, :1])).clamp(1e-7, 1 - 1e-7),
    "log-softmax": lambda z: torch.log_softmax(z, 1),
    "softmax([0, z])": lambda z: torch.softmax(torch.cat([torch.zeros_like(z[:, :1]), z[:, :1]], 1), 1),
    "log-sigmoid": functional.logsigmoid,
    "elu + 1": lambda z: functional.elu(z) + 1,
    "hard sigmoid": functional.hardsigmoid,
    "1 / (1 + exp)": lambda z: 1 / (1 + torch.exp(z)),
    "softmax beside sigmoids": lambda z: torch.cat([torch.softmax(z[:, :2], 1), torch.sigmoid(z[:, 2:])], 1),
    "objectness * class": lambda z: torch.sigmoid(z[:, :1]) * torch.sigmoid(z[:, 1:]),
    "sigmoids over their sum": lambda z: torch.sigmoid(z) / torch.sigmoid(z).sum(1, keepdim=True),
}
BODIES: dict[str, Callable[[], Any]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "softplus": nn.Softplus,
    "hardswish": nn.Hardswish,
    "gated": lambda: nn.Sequential(nn.Linear(10, 20), nn.GLU()),
}


class Network(nn.Module):
    """A dense layer, an activation, four scores and a head."""

    def __init__(self, body: str, head: str) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.body, self.last = nn.Linear(6, 10), BODIES[body](), nn.Linear(10, 4)
        self.head = HEADS[head]

    def forward(self, x: Any) -> Any:
        return self.head(self.last(self.body(self.first(x))))


@pytest.mark.parametrize(
    "body, head", [("relu", head) for head in HEADS] + [(body, "log-softmax") for body in BODIES if body != "relu"]
)
def test_both_exporters_one_relevance(body, head):
    x = np.random.default_rng(0).normal(size=(12, 6)).astype(np.float32)
    files = [export(Network(body, head), torch.from_numpy(x[:3]), dynamo=dynamo) for dynamo in (False, True)]
    for composite in ("auto", "epsilon_plus"):
        old, new = (onnxlrp.Explainer(onnxlrp.convert(file, composite)) for file in files)
        for target in (None, 1):
            ours, theirs = old({"x": x}, target=target), new({"x": x}, target=target)
            np.testing.assert_array_equal(ours.target, theirs.target)
            size = np.abs(ours.relevance["x"]).max()
            np.testing.assert_allclose(ours.relevance["x"], theirs.relevance["x"], rtol=1e-4, atol=1e-5 * size)
