"""Explanations of data frames on Spark: a function of columns for `withColumn` and `select`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.integrations.explained_rows import RowExplainer, RowOptions
from onnxlrp.runtime.matched_columns import takes_a_column
from onnxlrp.runtime.providers import CPU, CUDA, cuda_present

__all__ = ["explain_udf"]


def explain_udf(
    model: Any,
    columns: Sequence[str] = (),
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    target: Any = None,
    position: Any = None,
    weights: Any = None,
    preprocess: str = "auto",
    tokenizer: Any = None,
    providers: Sequence[Any] | None = None,
    batch_size: int = 1024,
) -> Any:
    """Make a function of columns that explains rows, on `pyspark.ml.functions.predict_batch_udf`.

    It returns a struct: the target, its score, base value and total relevance, the relevance of each column by the
    column's name with `_relevance`, and `error`, which says why a row has no explanation. These are the columns of
    `Explanation.save("rows.parquet")` without the row's own. An input that is no column of a table gets one field with
    its relevance as an array. Each Python worker opens the model once, with as many threads as `spark.task.cpus`, and
    on CUDA where the task has a GPU.

    Parameters
    ----------
    model
        The path of an explained model, on every machine, or a file that `SparkContext.addFile` sent there; its bytes;
        or the result of `onnxlrp.convert`.
    columns
        Names of the columns that the function will be called with, in their order. Default: those that the model's
        file names.
    shapes
        Shape of a row of each column that holds arrays, by the column's name; Spark keeps them as flat arrays.
    target, position, weights, preprocess, tokenizer
        As in a call of `Explainer`, one for all rows. Default: the predicted class of each.
    providers
        onnxruntime's execution providers. Default: CUDA for a task with a GPU, else the CPU.
    batch_size
        The most rows that the model runs at once. Default: 1024.

    Returns
    -------
    function
        A function of as many columns as `columns` has, in their order.

    Raises
    ------
    InputError
        The columns do not fit the model, the model's file names none, or it explains several targets of a row. A row
        that cannot be explained raises nothing.
    OnnxLrpError
        pyspark, pandas or pyarrow is not installed; the message says what to install.

    Source
    ------
    Spark's `pyspark.ml.functions.predict_batch_udf`.

    Examples
    --------
    ```python
    from onnxlrp.integrations.spark import explain_udf

    explain = explain_udf("/models/churn.lrp.onnx", ["age", "income", "visits"])
    rows = frame.select("*", explain("age", "income", "visits").alias("explained")).select("*", "explained.*")
    rows.drop("explained").write.parquet("explained")
    ```
    """
    functions = optional("pyspark.ml.functions", "explain_udf", "'onnxlrp[spark]'")
    options = RowOptions(target, position, weights, (), preprocess, tokenizer, keep_inputs=False)
    place = _sent(model)
    explained = RowExplainer(place, options, [CPU], 1)
    if explained.explainer.interface.targets > 1:
        raise InputError("Spark's function gives a row for each row: convert the model with targets=1")
    names = tuple(columns) or _own_columns(explained)
    sizes = {name: tuple(shape) for name, shape in (shapes or {}).items()}
    schema = explained.schema({name: _no_rows(name, sizes, explained) for name in names})
    return functions.predict_batch_udf(
        _maker(place, options, providers, names, schema),
        return_type=_struct(schema),
        batch_size=batch_size,
        input_tensor_shapes=[list(sizes.get(name, ())) for name in names] if sizes else None,
    )


def _sent(model: Any) -> Any:
    """Turn a model into what is sent to the workers: a path as text, or bytes."""
    if hasattr(model, "to_proto"):
        model = model.to_proto()
    if hasattr(model, "SerializeToString"):
        return model.SerializeToString()
    if isinstance(model, (str, os.PathLike)) and Path(model).exists():
        return str(Path(model).absolute())
    return model


def _own_columns(explained: RowExplainer) -> tuple[str, ...]:
    """List the columns that the model's file names."""
    names: list[str] = []
    for name, spec in explained.explainer.inputs.items():
        if spec.optional:
            continue
        known = (name,) if takes_a_column(spec) else explained.explainer.columns.get(name, ())
        if not known:
            raise InputError(f"the model's file does not name the columns of input {name!r}: give columns=")
        names += known
    return tuple(names)


def _no_rows(name: str, sizes: Mapping[str, tuple[int, ...]], explained: RowExplainer) -> np.ndarray:
    spec = explained.explainer.inputs.get(name)
    numbers = spec is not None and spec.dtype is not None and name in sizes
    return np.zeros((0, *sizes.get(name, ())), spec.dtype if numbers and spec is not None else np.float64)


def _maker(
    model: Any, options: RowOptions, providers: Sequence[Any] | None, names: Sequence[str], schema: Any
) -> Callable[[], Callable[..., dict[str, np.ndarray]]]:
    """Make the function that a Python worker calls once, and that opens the model there."""

    def make() -> Callable[..., dict[str, np.ndarray]]:
        found, threads = _of_task(providers)
        explained = RowExplainer(_on_worker(model), options, found, threads)

        def predict(*columns: np.ndarray) -> dict[str, np.ndarray]:
            table = explained.table(dict(zip(names, columns, strict=True)))
            return {field.name: _values(table.column(field.name), field.type) for field in schema}

        # Spark counts the parameters of the function to know how many columns it takes.
        parameters = [inspect.Parameter(f"column_{i}", inspect.Parameter.POSITIONAL_ONLY) for i in range(len(names))]
        predict.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return predict

    return make


def _on_worker(model: Any) -> Any:
    """Find a model's file that `SparkContext.addFile` sent, if it does not lie where it does on the driver."""
    if isinstance(model, str) and not Path(model).exists():
        sent = optional("pyspark", "explain_udf").SparkFiles.get(Path(model).name)
        return sent if Path(sent).exists() else model
    return model


def _of_task(providers: Sequence[Any] | None) -> tuple[list[Any], int]:
    """Choose the providers and the number of threads for the task that this worker runs."""
    context = optional("pyspark", "explain_udf").TaskContext.get()
    threads = 1 if context is None else max(1, int(context.cpus()))
    if providers is not None:
        return list(providers), threads
    gpus = {} if context is None else context.resources()
    if "gpu" not in gpus or not cuda_present():
        return [CPU], threads
    return [(CUDA, {"device_id": gpus["gpu"].addresses[0], "use_tf32": "0"}), CPU], threads


def _struct(schema: Any) -> Any:
    """Convert the types of a table of Arrow to Spark's."""
    types = optional("pyspark.sql.types", "explain_udf", "'onnxlrp[spark]'")
    convert = optional("pyspark.sql.pandas.types", "explain_udf", "'onnxlrp[spark]'").from_arrow_type
    return types.StructType([types.StructField(field.name, convert(field.type), True) for field in schema])


def _values(column: Any, kind: Any) -> np.ndarray:
    """Convert a column to the array that Spark takes, [rows] or [rows, numbers] for lists; null is NaN or None."""
    array: np.ndarray = column.to_numpy(zero_copy_only=False)
    if not hasattr(kind, "value_type"):
        return array
    width = next((len(row) for row in array if row is not None), 1)
    blank = np.full(width, np.nan, kind.value_type.to_pandas_dtype())
    return np.stack([blank if row is None else row for row in array])
