"""An evaluation's parts without a model: data and units as `evaluate` makes them."""

from __future__ import annotations

import numpy as np

from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.runtime.inputs import TensorSpec


def data_of(array: np.ndarray, shape: tuple | None = None, tokens=None, **others: np.ndarray) -> EvaluatedData:
    """Make the data of one explained input `x`; `others` are inputs that are not explained."""
    feeds = {"x": array, **others}
    specs = {name: TensorSpec(name, value.dtype, ("N", *value.shape[1:])) for name, value in feeds.items()}
    if shape is not None:
        specs["x"] = TensorSpec("x", array.dtype, shape)
    return EvaluatedData(
        feeds=feeds, varying=tuple(feeds), explained=("x",), count=len(array), batch_size=4, fixed=False, rows=4,
        specs=specs, tokens=tokens or {}, columns={}, time_axes={},
    )  # fmt: skip
