"""Customers of a telephone company as Ullah et al. 2022 code them: 7,043 rows of 28 columns, and if they have left."""

from __future__ import annotations

import numpy as np

from tools.literature.package_files import r_table

FOLDS = 5
_BINARY = ("female", "senior_citizen", "partner", "dependents", "phone_service", "paperless_billing")
_EXTRAS = (
    "online_security", "online_backup", "device_protection", "tech_support", "streaming_tv", "streaming_movies",
)  # fmt: skip
_KINDS = ("multiple_lines", "internet_service", "contract", "payment_method")
_AMOUNTS = ("tenure", "monthly_charges", "total_charges")


def customers() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read the table -> columns between 0 and 1 [N, 28], left (1) or not (0) [N], and the names of the columns."""
    table = r_table("modeldata", "wa_churn")
    columns = {name: table[name].to_numpy(float) for name in _BINARY}
    columns |= {name: (table[name] == "Yes").to_numpy(float) for name in _EXTRAS}
    for name in _KINDS:
        for kind in sorted(table[name].unique()):
            columns[f"{name} = {kind}"] = (table[name] == kind).to_numpy(float)
    for name in _AMOUNTS:
        values = table[name].fillna(0).to_numpy(float)  # total charges of customers in their first month
        columns[name] = values / values.max()
    return np.stack([*columns.values()], axis=1).astype(np.float32), (table["churn"] == "Yes").to_numpy(int), [*columns]


def folds(x: np.ndarray, y: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split into five folds with equal shares of those who left -> rows of training and test."""
    from sklearn.model_selection import StratifiedKFold

    return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y))


def balanced(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Add made-up neighbours of those who left (SMOTE), for training only; labels are floats [N, 1]."""
    from imblearn.over_sampling import SMOTE

    more, labels = SMOTE(random_state=0).fit_resample(x, y)
    return more.astype(np.float32), labels.astype(np.float32)[:, None]


def scores_of(logits: np.ndarray, y: np.ndarray) -> list[float]:
    """Compute accuracy, F1 of those who left, and the area under the ROC curve."""
    from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

    said = (logits > 0).astype(int)
    return [accuracy_score(y, said), f1_score(y, said), roc_auc_score(y, logits)]
