"""Ensembles of three trainers: fitted, as ONNX files, and their exact Shapley values by shap."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import shap
import skl2onnx
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn import ensemble

from tools.trees.datasets import Array, Task

TREES = 100
OPSETS = {"": 18, "ai.onnx.ml": 3}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A fitted ensemble and its file."""

    model: Any
    proto: onnx.ModelProto

    def shapley(self, rows: Array, classes: Array | None) -> Array:
        """Compute the path-dependent Shapley values of rows with the trainer's own covers, [rows, features].

        `classes` names the class of every row that is explained; None for a regression.
        """
        explainer = shap.TreeExplainer(self.model, feature_perturbation="tree_path_dependent")
        values = np.asarray(explainer.shap_values(rows, check_additivity=False))
        if classes is None:
            return values
        if values.ndim == 2:  # the log-odds of the second of two classes
            return values * np.where(classes == 1, 1, -1)[:, None]
        return values[np.arange(len(rows)), :, classes]


def light(task: Task) -> Trained:
    """Train LightGBM as it comes: leaf-wise trees of 31 leaves."""
    kind = lightgbm.LGBMClassifier if task.classes else lightgbm.LGBMRegressor
    model = kind(n_estimators=TREES, random_state=0, n_jobs=1, verbose=-1).fit(task.train, task.answers)
    options = {"zipmap": False} if task.classes else {}
    proto = quietly(onnxmltools.convert_lightgbm, model, initial_types=types(task), target_opset=15, **options)
    return Trained(model, proto)


def extreme(task: Task) -> Trained:
    """Train XGBoost with trees of depth 4."""
    kind = xgboost.XGBClassifier if task.classes else xgboost.XGBRegressor
    model = kind(n_estimators=TREES, max_depth=4, random_state=0, n_jobs=1).fit(task.train, task.answers)
    return Trained(model, quietly(onnxmltools.convert_xgboost, model, initial_types=types(task), target_opset=15))


def forest(task: Task) -> Trained:
    """Train scikit-learn's random forest with trees of at most depth 8."""
    kind = ensemble.RandomForestClassifier if task.classes else ensemble.RandomForestRegressor
    model = kind(n_estimators=TREES, max_depth=8, random_state=0).fit(task.train, task.answers)
    options = {id(model): {"zipmap": False}} if task.classes else None
    proto = quietly(skl2onnx.to_onnx, model, task.train[:1], options=options, target_opset=OPSETS)
    return Trained(model, proto)


def types(task: Task) -> list[tuple[str, FloatTensorType]]:
    """Declare the only input of a file, in the words of its exporter."""
    return [("X", FloatTensorType([None, task.train.shape[1]]))]


def quietly(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call an exporter without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)


TRAINERS: dict[str, Callable[[Task], Trained]] = {"LightGBM": light, "XGBoost": extreme, "random forest": forest}
"""Every trainer by its name in the results."""
