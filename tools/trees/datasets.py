"""Tables that tree ensembles are trained on: three that scikit-learn brings, and four that are generated."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn import datasets, model_selection

Array = np.ndarray
SHOWN = 200
"""Most rows of a table that are explained."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A table, split into rows to train on and rows to explain."""

    train: Array
    """Training rows, float32 [rows, features]."""
    answers: Array
    """Answers of the training rows: classes 0, 1, …, or numbers."""
    rows: Array
    """Rows to explain, float32."""
    classes: int
    """Number of classes; 0 for a regression."""


def task(x: Array, y: Array, classes: int) -> Task:
    """Split a table: a quarter of the rows, at most `SHOWN`, is explained."""
    train, rows, answers, _ = model_selection.train_test_split(
        x.astype(np.float32), y, test_size=0.25, random_state=0, stratify=y if classes else None
    )
    return Task(train, answers, rows[:SHOWN], classes)


def wine() -> Task:
    return task(*datasets.load_wine(return_X_y=True), classes=3)


def breast_cancer() -> Task:
    return task(*datasets.load_breast_cancer(return_X_y=True), classes=2)


def diabetes() -> Task:
    return task(*datasets.load_diabetes(return_X_y=True, scaled=False), classes=0)


def churn() -> Task:
    """Customers of a telephone company: months, charges, a contract of three kinds, and eight services of yes or no."""
    rng, n = np.random.default_rng(1), 4000
    months = rng.integers(0, 73, n)
    contract = np.eye(3)[np.clip((months / 30 + rng.normal(size=n) * 0.8).astype(int), 0, 2)]
    services = rng.random((n, 8)) < np.array([0.5, 0.44, 0.34, 0.34, 0.29, 0.4, 0.16, 0.08])
    charge = 20 + services @ np.array([8, 25, 5, 6, 5, 10, 3, 1]) + rng.normal(size=n)
    total = charge * months
    logit = 0.6 - 0.045 * months - 1.2 * contract[:, 1] - 2 * contract[:, 2] + 0.02 * charge
    logit += 0.8 * services[:, 1] - 0.6 * services[:, 2] - 1.0 * (services[:, 3] & (months < 20)) + 0.9 * services[:, 7]
    x = np.column_stack([months, charge.round(2), total.round(2), contract, services])
    return task(x, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int), classes=2)


def amounts() -> Task:
    """Applications for credit: log-normal amounts of income, debt and the like, and their ratios decide."""
    rng, n = np.random.default_rng(2), 4000
    x = np.exp(rng.normal(size=(n, 8)) * np.linspace(0.3, 1.5, 8) + np.linspace(3, 9, 8))
    logit = 2 * np.log(x[:, 1] / x[:, 2]) + np.log(x[:, 7] / x[:, 5]) - 3 + (x[:, 3] > np.median(x[:, 3]))
    return task(x, (rng.random(n) < 1 / (1 + np.exp(-logit + logit.mean()))).astype(int), classes=2)


def friedman() -> Task:
    """Friedman's first function of five of ten uniform columns, with noise."""
    return task(*datasets.make_friedman1(2000, n_features=10, noise=1.0, random_state=3), classes=0)


def clusters() -> Task:
    """Four classes in clusters of twelve columns: six informative, three linear combinations, three of noise."""
    x, y = datasets.make_classification(
        3000, 12, n_informative=6, n_redundant=3, n_classes=4, n_clusters_per_class=2, random_state=4
    )
    return task(x, y, classes=4)


TASKS: dict[str, Callable[[], Task]] = {
    "wine": wine,
    "breast cancer": breast_cancer,
    "diabetes": diabetes,
    "churn-like": churn,
    "amounts": amounts,
    "Friedman": friedman,
    "clusters": clusters,
}
"""Every table by its name in the results."""
