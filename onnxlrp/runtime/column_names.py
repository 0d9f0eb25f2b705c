"""Names of the columns of a model's inputs: from data frames, and from the metadata that a file came with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxlrp.runtime.inputs import TensorSpec

KEY = "feature_names"
"""Entry of `metadata_props` in which tools name the columns of a model's only table: a JSON list, or with commas."""


def of_frame(value: Any) -> tuple[str, ...]:
    """List the column names of a data frame (pandas, polars); empty for anything else."""
    columns, shape = getattr(value, "columns", None), getattr(value, "shape", ())
    if columns is None or callable(columns) or not isinstance(shape, tuple) or len(shape) != 2:
        return ()
    names = tuple(map(str, columns))
    return names if len(names) == shape[1] else ()


def of_metadata(metadata: Mapping[str, str], specs: Mapping[str, TensorSpec]) -> dict[str, tuple[str, ...]]:
    """Read the names that a file gives to the columns of its only input of that width; empty if it names none."""
    names = _listed(metadata.get(KEY, ""))
    fitting = [name for name, spec in specs.items() if spec.shape is not None and spec.shape[1:] == (len(names),)]
    return {fitting[0]: names} if len(fitting) == 1 and len(set(names)) == len(names) > 1 else {}


def _listed(text: str) -> tuple[str, ...]:
    """Split a list in JSON, or one with commas; empty if it is neither."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return tuple(part.strip() for part in text.split(",")) if text[:1] not in ("[", "{") else ()
    return tuple(map(str, found)) if isinstance(found, list) else ()
