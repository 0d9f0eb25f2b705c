"""Explanation of a trained estimator's predictions in one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.convert import convert
from onnxlrp.errors import InputError, OnnxLrpError, own_errors
from onnxlrp.integrations.estimators import column_error, convert_estimator
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation

__all__ = ["explain"]

_ALLOWED = 1e-4
"""Largest difference of a prediction from the estimator's own, beside the largest prediction."""


@dataclasses.dataclass(frozen=True)
class _Difference:
    """Rows in which a model predicts otherwise than its estimator."""

    rows: np.ndarray
    largest: float
    own: Any
    other: Any

    def __str__(self) -> str:
        first = int(self.rows[0])
        rows = "1 row" if len(self.rows) == 1 else f"{len(self.rows)} rows"
        return f"in {rows} (the first: row {first}, {self.other} instead of {self.own})"


@own_errors
def explain(
    estimator: Any,
    X: Any,
    *,
    target: Any = None,
    composite: Any = "auto",
    background: Any = None,
    ids: str | Sequence[str] = (),
    **options: Any,
) -> Explanation:
    """Explain the predictions of a trained estimator or pipeline: convert it, check it, and run it.

    The estimator is written as an ONNX model, by skl2onnx, onnxmltools or CatBoost. The model's predictions are
    compared with the estimator's own on all rows of `X`, so that what is explained is what the estimator predicts.

    Parameters
    ----------
    estimator
        A fitted classifier or regressor of scikit-learn, or a pipeline that ends in one, its encoders included; of
        XGBoost, LightGBM or CatBoost by their interface of scikit-learn.
    X
        Rows to explain, as the estimator takes them: a data frame (pandas, polars), a row of a pandas frame
        (`frame.iloc[5]`), or an array. Relevance arrives at the columns of a frame as they are, also at those of words.
    target
        The class to explain: its index, or its label if that is a word; one for all rows or one a row. Default: the
        predicted class.
    composite
        Choice of rules, as `onnxlrp.convert` takes it. Default: `"auto"`, which explains trees by exact Shapley values
        with the counts of the training samples.
    background
        Rows of data that the model is explained against, as `onnxlrp.convert` takes them. Default: none.
    ids
        Names of columns of `X` that identify its rows and that the estimator does not take. Default: none.
    options
        Other arguments of `onnxlrp.convert`.

    Returns
    -------
    Explanation
        The explanation of all rows, with the names of the columns.

    Raises
    ------
    InputError
        The estimator cannot be written as an ONNX model, or the model predicts otherwise than the estimator.
    OnnxLrpError
        skl2onnx, onnxmltools or onnxruntime is not installed; the message says what to install.

    Examples
    --------
    ```python
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(10).fit(np.random.rand(50, 3), np.arange(50) % 2)
    explanation = onnxlrp.explain(forest, np.random.rand(2, 3))
    print(explanation.to_frame())
    ```
    """
    X = _as_frame(X)
    names = (ids,) if isinstance(ids, str) else tuple(ids)
    taken = X.drop(columns=list(names)) if names and hasattr(X, "iloc") else X.drop(list(names)) if names else X
    given = taken if hasattr(taken, "columns") else np.asarray(taken)
    own = _predicted(estimator, taken)
    worst: _Difference | None = None
    for floats in (np.dtype(np.float32), np.dtype(np.float64)):
        try:
            model = convert_estimator(estimator, taken, (), floats)
            explainer = Explainer(convert(model, composite, background=background, **options))
            explanation = explainer(_typed(X, given, floats, bool(names)), target, ids=names)
        except OnnxLrpError:
            if worst is None:
                raise
            break  # onnxruntime has no kernels in double for this estimator
        difference = _difference(estimator, own, explanation)
        if difference is None:
            return explanation
        worst = worst or difference
    raise InputError(
        f"the ONNX model of this {type(estimator).__name__} predicts otherwise than the estimator {worst}: ONNX "
        "computes in float32, so train on data in float32 (X.astype('float32')), or explain only rows that agree"
    )


def _as_frame(X: Any) -> Any:
    """Make a frame of one row of a pandas frame, whose cells get the types of their values again; others are returned
    as they are."""
    is_row = hasattr(X, "infer_objects") and hasattr(X, "to_frame")
    return X.to_frame().T.infer_objects() if is_row else X


def _typed(X: Any, given: Any, floats: np.dtype, has_ids: bool) -> Any:
    """Give an array the type of the model's input; frames are converted column by column."""
    return given.astype(floats) if isinstance(given, np.ndarray) and not has_ids else X


def _difference(estimator: Any, own: np.ndarray, explanation: Explanation) -> _Difference | None:
    """Compare the model's predictions with the estimator's own; None if they agree."""
    arrays = [np.asarray(v) if not _is_map(v) else _of_maps(v) for v in explanation.outputs.values()]
    scores = next((a for a in arrays if a.dtype.kind == "f" and a.size == own.size), None)
    gives_labels = hasattr(estimator, "classes_") and not hasattr(estimator, "predict_proba")
    if own.dtype.kind == "f" and scores is not None and not gives_labels:
        own, scores = own.reshape(len(own), -1), scores.reshape(len(own), -1)
        gap = np.abs(own - scores).max(axis=1)
        wrong = np.flatnonzero(~(gap <= _ALLOWED * max(float(np.abs(own).max()), 1e-30)))
        pick: Any = lambda values, row: np.round(values[row], 4).tolist()
    else:
        labels = next((a for a in arrays if a.size == own.size and a.dtype.kind not in "f"), None)
        if labels is None:
            return None
        own, scores, gap = own.reshape(-1), labels.reshape(-1), np.zeros(len(own))
        numbers = own.dtype.kind in "biuf" and scores.dtype.kind in "biu"
        wrong = np.flatnonzero(own != scores if numbers else own.astype(str) != scores.astype(str))
        pick = lambda values, row: values[row]
    if not wrong.size:
        return None
    first = int(wrong[0])
    return _Difference(wrong, float(gap.max()), pick(own, first), pick(scores, first))


def _predicted(estimator: Any, X: Any) -> np.ndarray:
    """Predict by the estimator itself: probabilities where it has them. Raises InputError if it does not take X."""
    kind = type(estimator).__name__
    if not hasattr(estimator, "predict"):
        raise InputError(f"a {kind} predicts nothing: give a fitted classifier, regressor or pipeline")
    if len(X) == 0:
        raise InputError("X holds no row to explain")
    try:
        found = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)
    except Exception as error:  # each package raises errors of its own
        words = " ".join(str(error).split())[:400]
        cause = column_error(estimator, X) or InputError(f"this {kind} cannot predict these rows: {words}")
        raise cause from error
    if isinstance(found, list):
        raise InputError(f"this {kind} predicts {len(found)} things at once: train and explain an estimator for each")
    return np.asarray(found)


def _is_map(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _of_maps(value: list[dict[Any, float]]) -> np.ndarray:
    return np.array([[one[key] for key in value[0]] for one in value])
