"""Networks that foresee which customers leave, in five folds, beside SHAP, LIME and mutual information."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tools.literature import training
from tools.literature.churn_data import FOLDS, balanced, customers, folds, scores_of

RANKED, TIMED = 60, 100
"""Rows of each fold that the peers rank columns by; rows on which all methods are timed and compared."""


def train(folder: Path, *, short: bool) -> None:
    """Train on every fold; write models, rows, scores and the peers' attributions."""
    training.start()
    x, y, names = customers()
    arrays: dict[str, np.ndarray] = {"x": x, "y": y, "names": np.array(names)}
    scores = []
    for number, (rows, test) in enumerate(folds(x, y)[: 1 if short else FOLDS]):
        more, labels = balanced(x[rows], y[rows])
        arrays[f"rows_{number}"], arrays[f"test_{number}"] = rows, test
        networks = {"mlp": fitted(mlp(x.shape[1]), more, labels), "cnn": fitted(cnn(x.shape[1]), more, labels)}
        for name, network in networks.items():
            training.export(network, folder / f"{name}_{number}.onnx", {"columns": x}, "left")
            scores.append([name, number, *scores_of(training.outputs_of(network, x[test])[:, 0], y[test])])
        scores.append(["logistic regression", number, *scores_of(_regression(more, labels, x[test]), y[test])])
        arrays |= (
            {f"{key}_{number}": one for key, one in _ranked(networks["mlp"], x, y, rows).items()} if not short else {}
        )
        if number == 0:
            arrays |= _timed(networks["mlp"], x, rows, test[:TIMED], short=short)
    np.savez(folder / "customers.npz", **arrays, scores=np.array(scores))


def mlp(columns: int) -> nn.Module:
    """Make two hidden layers."""
    return nn.Sequential(
        nn.Linear(columns, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1)
    )


def cnn(columns: int) -> nn.Module:
    """Make a convolution along the columns, as the paper's; their order means nothing."""
    return nn.Sequential(
        nn.Unflatten(1, (1, columns)), nn.Conv1d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1),
        nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * (columns // 2), 16), nn.ReLU(),
        nn.Linear(16, 1),
    )  # fmt: skip


def fitted(network: nn.Module, x: np.ndarray, y: np.ndarray, steps: int = 500) -> nn.Module:
    """Train on balanced rows."""
    loss = nn.functional.binary_cross_entropy_with_logits
    return training.fit(network, training.shuffled(x, y, 256), steps, rate=5e-3, decay=0.01, loss=loss)


def _regression(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=2000).fit(x, y[:, 0]).decision_function(test)


def _ranked(network: nn.Module, x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rank columns on training rows: mean |attribution| of SHAP and LIME, and mutual information."""
    from sklearn.feature_selection import mutual_info_classif

    few = x[rows[:RANKED]]
    return {
        "SHAP": np.abs(_shap(network, x[rows], few)).mean(axis=0),
        "LIME": np.abs(_lime(network, x[rows], few)).mean(axis=0),
        "mutual information": mutual_info_classif(x[rows], y[rows], random_state=0),
    }


def _timed(
    network: nn.Module, x: np.ndarray, rows: np.ndarray, test: np.ndarray, *, short: bool
) -> dict[str, np.ndarray]:
    """Attribute the same rows by each peer, and take its processor time in seconds."""
    methods: dict[str, Callable] = {} if short else {"SHAP, kernel": _shap, "SHAP, deep": _deep_shap, "LIME": _lime}
    found = {}
    for name, method in methods.items():
        start = time.process_time()
        found[f"timed {name}"] = method(network, x[rows], x[test])
        found[f"seconds {name}"] = np.array(time.process_time() - start)
    return found


def _shap(network: nn.Module, x: np.ndarray, few: np.ndarray) -> np.ndarray:
    import shap

    def score(z: np.ndarray) -> np.ndarray:
        return training.outputs_of(network, z.astype(np.float32))[:, 0]

    return shap.KernelExplainer(score, shap.kmeans(x, 10)).shap_values(few, nsamples=500, silent=True)


def _deep_shap(network: nn.Module, x: np.ndarray, few: np.ndarray) -> np.ndarray:
    import shap

    explainer = shap.DeepExplainer(network, torch.from_numpy(x[:100]))
    return explainer.shap_values(torch.from_numpy(few), check_additivity=False)[..., 0]


def _lime(network: nn.Module, x: np.ndarray, few: np.ndarray) -> np.ndarray:
    from lime.lime_tabular import LimeTabularExplainer

    def chances(z: np.ndarray) -> np.ndarray:
        left = 1 / (1 + np.exp(-training.outputs_of(network, z.astype(np.float32))))
        return np.concatenate([1 - left, left], axis=1)

    amounts = [column for column in range(x.shape[1]) if len(np.unique(x[:, column])) > 2]
    kinds = [column for column in range(x.shape[1]) if column not in amounts]
    explainer = LimeTabularExplainer(x, categorical_features=kinds, random_state=0)
    found = np.zeros_like(few)
    for row, values in enumerate(few):
        weights = explainer.explain_instance(values, chances, num_features=x.shape[1], num_samples=1000).as_map()[1]
        for column, weight in weights:
            found[row, column] = weight
    return found
