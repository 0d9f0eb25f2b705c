"""Rows of a table for the most relevant elements of an input, where a model keeps these alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import ReducedLayout, layout_of

Columns = dict[str, np.ndarray]


def axes_of_part(explanation: Explanation, name: str, relevance: np.ndarray) -> int:
    """Count the axes that an element of relevance [rows, ...] has a place on."""
    layout = layout_of(explanation, name) if name in explanation.relevance_indices else None
    return relevance.ndim - 1 if layout is None else len(layout.kept)


def picked_columns(
    explanation: Explanation, name: str, relevance: np.ndarray, titles: list[str], features: list[str]
) -> Columns:
    """Describe each of the elements [rows, k] by rank, place and name; an axis that the input lacks is -1.

    `titles` are the names of the axes, `features` those of the columns of a table, if the input is one.
    """
    places = explanation.relevance_indices[name].reshape(relevance.shape)
    rows, count = relevance.shape
    columns: Columns = {"rank": np.tile(np.arange(1, count + 1), rows), "index": places.reshape(-1)}
    layout = layout_of(explanation, name)
    if layout is None:
        return columns
    axes = np.unravel_index(np.maximum(places, 0), layout.kept) if layout.kept else ()
    for axis, title in enumerate(titles):
        columns[title] = axes[axis].reshape(-1) if axis < len(axes) else np.full(places.size, -1)
    if features:
        columns["feature"] = np.array(features, dtype=object)[np.maximum(places, 0)].reshape(-1)
    values = _values(explanation.inputs[name], layout, places)
    return columns if values is None else {**columns, "value": values}


def _values(value: Any, layout: ReducedLayout, places: np.ndarray) -> np.ndarray | None:
    """Read the picked elements of the input, a sample's for each of its targets; None where they are sums."""
    if layout.kept != layout.inner:
        return None
    samples = 1 if layout.is_alone else len(value)
    flat = np.reshape(value, (samples, value.size // max(samples, 1)))
    rows = np.repeat(flat, len(places) // max(samples, 1), axis=0)
    return np.take_along_axis(rows, np.maximum(places, 0), axis=1).reshape(-1)
