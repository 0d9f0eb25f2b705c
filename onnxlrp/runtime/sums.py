"""Sums of relevance over the elements of all inputs, for each sample and target."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from onnxlrp.interface import Interface


def sums_of_samples(
    arrays: Mapping[str, np.ndarray], interface: Interface, axes: Mapping[str, int], samples: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sum relevance and its absolute values over all inputs, each [samples, targets].

    If the inputs differ in their number of samples, the sums are over all samples: [1, 1].
    """
    rows = [_rows(array, interface, axes.get(name, 0)) for name, array in arrays.items()]
    if len({len(row) for row in rows} | ({samples} if samples else set())) > 1:
        rows = [array.reshape(1, 1, array.size) for array in arrays.values()]
    total = sum(row.sum(axis=2, dtype=np.float64) for row in rows)
    size = sum(np.abs(row).sum(axis=2, dtype=np.float64) for row in rows)
    return np.asarray(total), np.asarray(size)


def _rows(array: np.ndarray, interface: Interface, axis: int) -> np.ndarray:
    """Reshape the relevance of one input to [samples, targets, elements]; with K > 1 targets, axis 1 of `array` counts
    the targets."""
    many = interface.targets
    if many > 1 and array.ndim > 1:
        array = np.moveaxis(array, 1, 0)  # targets first
    front = 1 if many > 1 else 0
    if interface.batch_axis is None or axis + front >= array.ndim:
        return array.reshape(1, many, array.size // many)
    rows = np.moveaxis(array, axis + front, 0)
    # A size of −1 cannot be computed for a batch of no samples.
    return rows.reshape(len(rows), many, math.prod(rows.shape[1:]) // many)
