"""Explanations of data sets on Ray: a class for `Dataset.map_batches`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.integrations.explained_rows import Batch, RowExplainer, RowOptions
from onnxlrp.runtime.providers import CPU
from onnxlrp.view.arrow_tables import arrow

__all__ = ["Explain"]


class Explain:
    """A class for `Dataset.map_batches`: each actor opens the explained model once, and explains batches of rows.

    A batch comes back as a table with a row for each of its rows (and targets): identifiers, the target, its score,
    base value and total relevance, each column with its value and its relevance, and `error`, which says why a row has
    no explanation. These are the columns of `Explanation.save("rows.parquet")`. An input that is no column of a table
    gets one column with its relevance as a list. A session has as many threads as the actor has CPUs, and runs on CUDA
    where the actor has a GPU.

    Parameters
    ----------
    model
        The path of an explained model, on every machine, or its bytes.
    target, position, weights
        As in a call of `Explainer`, one for all rows. Default: the predicted class of each.
    ids
        Names of columns that identify the rows, such as `"customer"`; no input takes them. Default: none.
    preprocess, tokenizer
        As for `Explainer`.
    providers
        onnxruntime's execution providers. Default: CUDA for an actor with a GPU, else the CPU.
    keep_inputs
        False leaves the values of columns out. Default: True.

    Raises
    ------
    InputError
        The columns of a batch do not fit the model, or the model takes batches of a fixed size above 1. A row that
        cannot be explained raises nothing.
    OnnxLrpError
        ray or pyarrow is not installed; the message says what to install.

    Source
    ------
    Ray Data, `Dataset.map_batches` with a class of callables.

    Examples
    --------
    ```python
    import ray
    from onnxlrp.integrations.ray import Explain

    explained = ray.data.read_parquet("customers").map_batches(
        Explain,
        fn_constructor_kwargs={"model": "/models/churn.lrp.onnx", "ids": "customer"},
        batch_size=4096,
        batch_format="pyarrow",  # keeps whole numbers exact where a row of the batch has none
        num_cpus=2,
        compute=ray.data.ActorPoolStrategy(size=16),  # concurrency=16 in earlier versions of Ray
    )
    explained.write_parquet("explained")
    ```
    """

    def __init__(
        self,
        model: Any,
        *,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
        tokenizer: Any = None,
        providers: Sequence[Any] | None = None,
        keep_inputs: bool = True,
    ) -> None:
        resources = _assigned()
        named = (ids,) if isinstance(ids, str) else tuple(ids)
        options = RowOptions(target, position, weights, named, preprocess, tokenizer, keep_inputs)
        if providers is None and not resources.get("GPU"):
            providers = [CPU]
        cpus = resources.get("CPU")
        self._rows = RowExplainer(model, options, providers, None if cpus is None else max(1, int(cpus)))

    def __call__(self, batch: Any) -> Any:
        """Explain the rows of a batch, in any of Ray's formats, and return a table of Arrow."""
        return self._rows.table(_columns(batch))


def _assigned() -> dict[str, float]:
    """Read the CPUs and GPUs of the actor that this process is; empty outside of one."""
    ray = optional("ray", "Explain", "'onnxlrp[ray]'")
    context = ray.get_runtime_context() if ray.is_initialized() else None
    return {} if context is None or context.get_actor_id() is None else dict(context.get_assigned_resources())


def _columns(batch: Any) -> Batch:
    """Convert a batch of Ray's formats "numpy", "pandas" and "pyarrow" to arrays by column."""
    if isinstance(batch, Mapping):
        return {name: np.asarray(column) for name, column in batch.items()}
    if hasattr(batch, "iloc"):
        batch = arrow().Table.from_pandas(batch, preserve_index=False)
    if hasattr(batch, "column_names"):
        return {name: _array(batch.column(name)) for name in batch.column_names}
    raise InputError(f"a {type(batch).__name__} is no batch of columns")


def _array(column: Any) -> np.ndarray:
    """Convert a column of Arrow. Whole numbers beside nulls stay whole numbers; as floats they would lose digits."""
    if column.null_count and str(column.type).startswith(("int", "uint")):
        return np.array(column.to_pylist(), dtype=object)
    return np.asarray(column.to_numpy(zero_copy_only=False))
