"""Kernel machines: compares relevance with exact Shapley values of the same reference, and with mean imputation."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from skl2onnx import to_onnx
from sklearn import datasets, gaussian_process, pipeline, preprocessing, svm

from tools.cases.lib import Array, Score, Table, correlation, effects, explain, quietly

KERNELS = gaussian_process.kernels
ROWS = 12


@dataclasses.dataclass(frozen=True)
class Machine:
    """A trained model with its data, and the reference that its relevance is measured against."""

    model: Any
    data: Array
    reference: Array
    score: Callable[[int], Score]
    """Function that gives the score of a class as a function of rows; the class is 0 for a regressor."""
    output: str
    imputed: float = 0.9
    """Least mean correlation with the effects of mean imputation; 0 accepts any positive one."""


def shapley(score: Score, row: Array, reference: Array) -> Array:
    """Compute exact Shapley values: every subset of the features from the row, the others from the reference."""
    count = len(row)
    subsets = np.array(list(itertools.product([False, True], repeat=count)))
    values = np.asarray(score(np.where(subsets, row, reference)), float).reshape(-1)
    sizes, codes = subsets.sum(1), subsets @ (1 << np.arange(count)[::-1])
    at = np.argsort(codes)
    found = []
    for i in range(count):
        without = ~subsets[:, i]
        weights = [math.factorial(s) * math.factorial(count - 1 - s) for s in sizes[without]]
        gained = values[at[codes[without] + (1 << (count - 1 - i))]] - values[without]
        found.append(weights @ gained / math.factorial(count))
    return np.array(found)


def pairwise(model: Any) -> Callable[[int], Score]:
    """Make the score of a class of a support vector classifier: ± the decision function, or the sum of its pairs."""
    count = len(model.classes_)
    pairs = list(itertools.combinations(range(count), 2))
    by_pairs = copy.copy(model).set_params(decision_function_shape="ovo")

    def of(target: int) -> Score:
        def score(rows: Array) -> Array:
            decisions = by_pairs.decision_function(rows)
            if count == 2:
                return decisions if target else -decisions
            return decisions @ np.array([(target == i) * 1.0 - (target == j) for i, j in pairs])

        return score

    return of


def plain(function: Callable[[Array], Array]) -> Callable[[int], Score]:
    return lambda target: lambda rows: np.asarray(function(rows)).reshape(-1)


def regressors() -> dict[str, Machine]:
    """Train regressors on the diabetes data, ten features; γ·d is 1 to 1.25."""
    x, y = datasets.load_diabetes(return_X_y=True)
    x = preprocessing.StandardScaler().fit_transform(x)
    found = {}
    for name, model in (("SVR", svm.SVR(C=30)), ("NuSVR", svm.NuSVR(C=30))):
        model.fit(x, y)
        found[name] = Machine(model, x, model.support_vectors_.mean(0), plain(model.predict), "variable")
    scaled = pipeline.make_pipeline(preprocessing.StandardScaler(), svm.SVR(C=30)).fit(3 * x + 1, y)
    found["SVR downstream of a scaler"] = Machine(scaled, 3 * x + 1, scaled[0].mean_, plain(scaled.predict), "variable")
    for name, kernel in (
        ("Gaussian process, RBF", KERNELS.RBF(2.0)),
        ("Gaussian process, constant * RBF", KERNELS.ConstantKernel(2.0) * KERNELS.RBF(3.0)),
        ("Gaussian process, Matern", KERNELS.Matern(2.0)),
        ("Gaussian process, rational quadratic", KERNELS.RationalQuadratic(2.0, 1.0)),
    ):
        process = gaussian_process.GaussianProcessRegressor(kernel, alpha=1.0, optimizer=None, normalize_y=True)
        process.fit(x[:100], y[:100])
        found[name] = Machine(process, x, process.X_train_.mean(0), plain(process.predict), "GPmean")
    return found


def classifiers() -> dict[str, Machine]:
    """Train classifiers on the iris data, four features; γ·d is 1 to 1.2.

    Imputing means is no yardstick there, so any positive correlation is accepted.
    """
    x, y = datasets.load_iris(return_X_y=True)
    x, two = preprocessing.StandardScaler().fit_transform(x), y < 2
    found = {}
    for name, model, rows in (
        ("SVC of two classes", svm.SVC(), two),
        ("NuSVC of two classes", svm.NuSVC(nu=0.2), two),
        ("SVC of three classes", svm.SVC(), y < 3),
        ("SVC of two classes, probabilities", svm.SVC(probability=True, random_state=0), two),
        ("SVC of three classes, probabilities", svm.SVC(probability=True, random_state=0), y < 3),
    ):
        with quietly():
            model.fit(x[rows], y[rows])
        reference = model.support_vectors_.mean(0)
        found[name] = Machine(model, x[rows], reference, pairwise(model), "probabilities", imputed=0.0)
    outliers = svm.OneClassSVM(gamma=0.3).fit(x)
    reference, score = outliers.support_vectors_.mean(0), plain(outliers.decision_function)
    return {**found, "OneClassSVM": Machine(outliers, x, reference, score, "scores", imputed=0.0)}


def judge(machine: Machine) -> tuple[bool, str]:
    """Compute both correlations of the default explanation, each a mean over rows.

    The yardstick is the score of the class that the file's label names: onnxruntime gives the decision of two classes
    as [f, −f], where f is positive for the second class.
    """
    rows = machine.data[:: max(1, len(machine.data) // ROWS)][:ROWS].astype(np.float32)
    classifies = hasattr(machine.model, "classes_")
    with quietly():
        options = {"zipmap": False} if classifies else None
        proto = to_onnx(machine.model, rows[:1], options=options)
    explanation = explain(proto, rows, feed="X", output=machine.output)
    targets = explanation.outputs["label"].reshape(-1) if classifies else np.zeros(len(rows), int)
    exact, imputed, means = [], [], machine.data.mean(0)
    for row, target in zip(rows.astype(float), targets, strict=True):
        score = machine.score(int(target))
        exact.append(shapley(score, row, machine.reference))
        imputed.append(effects(score, row[None], means)[0])
    relevance = explanation.relevance["X"]
    by_game, by_means = (float(correlation(relevance, np.array(v)).mean()) for v in (exact, imputed))
    holds = by_game >= 0.95 and by_means > 0 and by_means >= machine.imputed
    return holds, f"Shapley values {by_game:5.2f}, mean imputation {by_means:5.2f}"


def main() -> int:
    """Require at least .95 with Shapley values; with mean imputation at least .9 for regressors, and positive for the
    others."""
    table = Table("mean correlation of relevance")
    for name, machine in {**regressors(), **classifiers()}.items():
        table.attempt(name, lambda machine=machine: judge(machine))
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
