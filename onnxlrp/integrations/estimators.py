"""Trained estimators of scikit-learn, XGBoost, LightGBM and CatBoost as ONNX models that give the same predictions."""

from __future__ import annotations

import contextlib
import copy
import json
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.runtime.column_names import KEY
from onnxlrp.runtime.matched_columns import lacking
from onnxlrp.runtime.named_columns import NamedColumns, table_in
from onnxlrp.trees.covers import with_covers
from onnxlrp.trees.trainer_covers import covers_of

__all__ = ["onnx_of"]

_OPSETS = {"": 18, "ai.onnx.ml": 3}
_INPUT = "X"
"""Name of the only input of a model of one table."""
_NEEDS = "explaining an estimator of scikit-learn"


def onnx_of(estimator: Any, X: Any, *, ids: Sequence[str] = ()) -> onnx.ModelProto:
    """Convert a trained estimator to an ONNX model, with the number of training samples at each node of its trees.

    Parameters
    ----------
    estimator
        A fitted classifier or regressor of scikit-learn, or a pipeline that ends in one; of XGBoost, LightGBM or
        CatBoost by their interface of scikit-learn.
    X
        Rows as the estimator takes them, which tell the types of the inputs. A pipeline that selects columns of a data
        frame, or a frame with words, becomes a model with an input a column, which takes the raw columns.
    ids
        Names of columns of a frame that the estimator does not take.

    Returns
    -------
    onnx.ModelProto
        The model; probabilities are a tensor, but those of CatBoost maps.

    Raises
    ------
    InputError
        The estimator cannot be written as an ONNX model, or a column holds neither numbers nor words.
    OnnxLrpError
        A package is not installed; the message says what to install.

    Examples
    --------
    ```python
    from onnxlrp.integrations.estimators import onnx_of

    # pipeline is trained on the data frame customers.
    explained = onnxlrp.convert(onnx_of(pipeline, customers))
    explained.save("churn.lrp.onnx")
    ```
    """
    return convert_estimator(estimator, X, ids, np.dtype(np.float32))


def convert_estimator(estimator: Any, X: Any, ids: Sequence[str], floats: np.dtype) -> onnx.ModelProto:
    """Convert an estimator as `onnx_of` does, with inputs of the type `floats` for fractions."""
    table = table_in(X)
    if table is None:
        _check_array(X)
    columns = {} if table is None else {n: c for n, c in table.columns.items() if n not in ids}
    if not hasattr(estimator, "predict"):
        kind = type(estimator).__name__
        raise InputError(f"a {kind} predicts nothing: give a fitted classifier, regressor or pipeline")
    if type(estimator).__module__.partition(".")[0] == "catboost":
        model = _of_catboost(estimator)
    else:
        by_column = _is_by_column(estimator, columns)
        types = _types_of_columns(columns, table, floats) if by_column else _type_of_array(X, columns, floats)
        try:
            model = _of_scikit_learn(estimator, types)
        except InputError as error:
            raise _of_missing_columns(estimator, columns) or error from error.__cause__
    _name_columns(model, list(columns))
    _name_classes(model, estimator)
    try:
        return with_covers(model, covers_of(estimator))
    except InputError:  # no trees, or trees that keep no counts; the plan says what stands in for them
        return model


def _check_array(X: Any) -> None:
    """Raise InputError unless X is an array [rows, columns] of numbers."""
    array = np.asarray(X)
    if array.ndim != 2:
        raise InputError(f"X is an array [rows, columns], not {list(array.shape)}: X.reshape(1, -1) makes a row of one")
    if array.dtype.kind in "OUS":
        raise InputError("X is an array of words or of mixed types: give a data frame, whose columns have a type each")


def _of_missing_columns(estimator: Any, columns: Mapping[str, np.ndarray]) -> InputError | None:
    """Make the error about columns of a frame that the estimator was trained on and that are not there; None if all
    are."""
    trained = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    missing = [name for name in trained if name not in columns]
    if not columns or not missing:
        return None
    words = lacking("the data frame", missing, [name for name in columns if name not in trained])
    return InputError(f"{words}: the estimator was trained on {'it' if len(missing) == 1 else 'them'}")


def column_error(estimator: Any, X: Any) -> InputError | None:
    """Make the error about the columns of a frame that an estimator cannot predict: some are missing, or hold neither
    numbers nor words; None if there is no such column."""
    table = table_in(X)
    columns = {} if table is None else table.columns
    missing = _of_missing_columns(estimator, columns)
    if missing is not None or not _is_by_column(estimator, columns):
        return missing
    try:
        _types_of_columns(columns, table, np.dtype(np.float32))
    except InputError as error:
        return error
    return None


def _is_by_column(estimator: Any, columns: Mapping[str, np.ndarray]) -> bool:
    """Decide whether the model gets an input a column: it selects columns of a frame, or some of them hold words."""
    selects = any(type(part).__name__ == "ColumnTransformer" for part in _parts(estimator))
    return bool(columns) and (selects or any(column.dtype.kind in "OUS" for column in columns.values()))


_INNER = ("estimator", "base_estimator", "regressor", "classifier", "best_estimator_", "final_estimator_")
"""Attributes in which estimators of scikit-learn keep others, untrained and trained."""


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield an estimator and those that it is made of."""
    yield estimator
    for name in ("steps", "transformers", "estimators"):
        for inner in getattr(estimator, name, ()):
            yield from _parts(inner[1])
    found = [getattr(estimator, name, None) for name in _INNER]
    for name in ("estimators_", "calibrated_classifiers_"):
        found += np.ravel(np.asarray(getattr(estimator, name, ()), dtype=object)).tolist()
    for inner in found:
        if hasattr(inner, "predict") or hasattr(inner, "predict_proba"):
            yield from _parts(inner)


def _type_of_array(X: Any, columns: Mapping[str, np.ndarray], floats: np.dtype) -> list[tuple[str, Any]]:
    """Declare one input [N, columns] of fractions."""
    width = len(columns) or np.asarray(X).shape[1]
    return [(_INPUT, _tensor_types()[floats.name]([None, width]))]


def _types_of_columns(
    columns: Mapping[str, np.ndarray], table: NamedColumns | None, floats: np.dtype
) -> list[tuple[str, Any]]:
    """Declare an input [N, 1] for each column, of whole numbers, fractions or words as the column holds."""
    types = _tensor_types()
    declared = []
    for name, column in columns.items():
        kind = _kind(column)
        if kind is None:
            place = "the data" if table is None else table.place
            raise InputError(
                f"{place}: column {name!r:.80} holds {column.dtype}, neither numbers nor words: leave it out, or give "
                "it as a number"
            )
        declared.append((name, types[floats.name if kind == "float" else kind]([None, 1])))
    return declared


def _kind(column: np.ndarray) -> str | None:
    """Name the kind of a column: int64, float, or str for words; None for any other."""
    if column.dtype.kind in "biu":
        return "int64"
    if column.dtype.kind == "f":
        return "float"
    if column.dtype.kind not in "OUS":
        return None
    cells = [cell for cell in column.tolist() if cell is not None and type(cell).__name__ != "NAType"]
    cells = [cell for cell in cells if not (isinstance(cell, float) and np.isnan(cell))]
    if all(isinstance(cell, str) for cell in cells):
        return "str"
    return "float" if all(isinstance(cell, (bool, int, float)) for cell in cells) else None


def _tensor_types() -> dict[str, Any]:
    types = optional("skl2onnx.common.data_types", _NEEDS, "skl2onnx")
    return {
        "int64": types.Int64TensorType,
        "float32": types.FloatTensorType,
        "float64": types.DoubleTensorType,
        "str": types.StringTensorType,
    }


def _of_scikit_learn(estimator: Any, types: Sequence[tuple[str, Any]]) -> onnx.ModelProto:
    skl2onnx = optional("skl2onnx", _NEEDS)
    estimator = _without_names(estimator)
    for part in _parts(estimator):
        _register(skl2onnx, part)
    options = {"zipmap": False} if hasattr(estimator, "predict_proba") else None
    try:
        with warnings.catch_warnings(), _flags_as_numbers():
            warnings.simplefilter("ignore")
            model: onnx.ModelProto = skl2onnx.to_onnx(
                estimator, initial_types=list(types), target_opset=_OPSETS, options=options
            )
            return model
    except Exception as error:  # skl2onnx raises errors of many kinds
        words = " ".join(str(error).split())[:400]
        selects = any(type(part).__name__ == "ColumnTransformer" for part in _parts(estimator))
        several = len(types) > 1 and not selects
        hint = "; columns of words need an encoder: a pipeline with a ColumnTransformer" if several else ""
        raise InputError(
            f"skl2onnx cannot write a {type(estimator).__name__} as an ONNX model: {words}{hint}"
        ) from error


def _without_names(estimator: Any) -> Any:
    """Copy an estimator in which XGBoost knows names of columns: onnxmltools takes none but f0, f1, ..."""
    if not any(booster.feature_names for booster in _boosters(estimator)):
        return estimator
    estimator = copy.deepcopy(estimator)
    for booster in _boosters(estimator):
        booster.feature_names = None
    return estimator


def _boosters(estimator: Any) -> Iterator[Any]:
    """Yield the trained boosters of XGBoost in an estimator."""
    for part in _parts(estimator):
        if hasattr(part, "get_booster") and part.__sklearn_is_fitted__():
            yield part.get_booster()


@contextlib.contextmanager
def _flags_as_numbers() -> Iterator[None]:
    """Let skl2onnx 1.20 write the flags of missing values of histogram gradient boosting: it gives booleans, which
    protobuf 7 refuses in a list of integers."""
    with _PATCHING:
        written = onnx.helper.make_attribute

        def with_numbers(key: str, value: Any, *rest: Any, **more: Any) -> onnx.AttributeProto:
            return written(key, [int(one) for one in value] if "tracks_true" in key else value, *rest, **more)

        onnx.helper.make_attribute = with_numbers
        try:
            yield
        finally:
            onnx.helper.make_attribute = written


_PATCHING = threading.Lock()
_CONVERTERS = {"xgboost": ("XGBoost", "XGB"), "lightgbm": ("LightGbm", "LGBM")}
"""Packages whose estimators onnxmltools converts, with the words in the names of its converters."""


def _register(skl2onnx: Any, part: Any) -> None:
    """Teach skl2onnx an estimator of XGBoost or LightGBM, by the converters of onnxmltools."""
    package = type(part).__module__.partition(".")[0]
    if package not in _CONVERTERS:
        return
    name, short = _CONVERTERS[package]
    module = f"onnxmltools.convert.{package}.operator_converters.{name}"
    converter = getattr(optional(module, f"explaining an estimator of {package}", "onnxmltools"), f"convert_{package}")
    shapes = optional("skl2onnx.common.shape_calculator", _NEEDS, "skl2onnx")
    if hasattr(part, "predict_proba"):
        kind, shape = "Classifier", shapes.calculate_linear_classifier_output_shapes
        options: dict[str, Any] = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    else:
        kind, shape = "Regressor", shapes.calculate_linear_regressor_output_shapes
        options = {"split": None} if package == "lightgbm" else {}
    skl2onnx.update_registered_converter(type(part), f"{name}{short}{kind}", shape, converter, options=options)


def _of_catboost(estimator: Any) -> onnx.ModelProto:
    """Convert by CatBoost's own exporter; probabilities are the maps of a ZipMap."""
    with tempfile.TemporaryDirectory(prefix="onnxlrp-") as folder:
        path = Path(folder) / "model.onnx"
        try:
            estimator.save_model(str(path), format="onnx")
        except Exception as error:  # CatBoost's own errors
            words = " ".join(str(error).split())[:400]
            raise InputError(f"CatBoost cannot write this model as ONNX: {words}") from error
        return onnx.load(path)


def _name_columns(model: onnx.ModelProto, names: Sequence[str]) -> None:
    """Write the names of the columns into the metadata of a model of one table."""
    if len(model.graph.input) == 1 and len(names) > 1:
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, json.dumps(names)


def _name_classes(model: onnx.ModelProto, estimator: Any) -> None:
    """Write the labels of the classes into the metadata, for a model that gives a probability of each."""
    labels = getattr(estimator, "classes_", None)
    if hasattr(estimator, "predict_proba") and isinstance(labels, np.ndarray) and labels.ndim == 1:
        entry = model.metadata_props.add()
        entry.key, entry.value = "class_names", json.dumps([str(label) for label in labels.tolist()])
