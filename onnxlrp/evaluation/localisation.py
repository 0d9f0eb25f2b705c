"""Localisation: the share of positive relevance within masks or boxes that say where the evidence is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.near_names import did_you_mean
from onnxlrp.runtime.input_kinds import channel_axis


def share_inside(relevance: Mapping[str, np.ndarray], masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Compute the share of positive relevance within masks that broadcast to the inputs, [N]; NaN without any."""
    inside, total = 0.0, 0.0
    for name, mask in masks.items():
        positive = np.maximum(relevance[name], 0).astype(np.float64)
        axes = tuple(range(1, positive.ndim))
        inside = inside + (positive * mask).sum(axis=axes)
        total = total + positive.sum(axis=axes)
    return np.divide(inside, total, out=np.full(np.shape(total), np.nan), where=np.asarray(total) > 0)


def covered_share(masks: Mapping[str, np.ndarray], data: EvaluatedData) -> np.ndarray:
    """Compute the share of an input's elements that lies within its mask, [N]: what an even spread would reach."""
    inside, total = 0.0, 0.0
    for name, mask in masks.items():
        whole = np.broadcast_to(mask, data.feeds[name].shape)
        inside = inside + whole.reshape(data.count, -1).sum(axis=1)
        total = total + whole[0].size
    return inside / np.full(data.count, total)


def read_masks(given: Any, data: EvaluatedData) -> dict[str, np.ndarray] | None:
    """Read masks as bool arrays that broadcast to the inputs.

    `given` is an array for the one explained input or a dictionary by input. An array [N, 4] for pictures holds boxes
    (left, top, right, bottom), in pixels; any other is a mask [N, ...] with or without the axis of channels.
    Raises InputError if it does not fit.
    """
    if given is None:
        return None
    by_name = given if isinstance(given, Mapping) else {data.explained[0]: given}
    unknown = [name for name in by_name if name not in data.explained]
    if unknown:
        near = did_you_mean(unknown[0], data.explained)
        raise InputError(f"masks are for explained inputs, {', '.join(data.explained)}, not {unknown[0]!r}{near}")
    return {name: _mask(np.asarray(mask), name, data) for name, mask in by_name.items()}


def _mask(mask: np.ndarray, name: str, data: EvaluatedData) -> np.ndarray:
    array = data.feeds[name]
    if mask.shape == (data.count, 4) and array.ndim == 4:
        return _boxes(mask, array, channel_axis(data.specs[name], array) or 1)
    if mask.ndim == array.ndim - 1 and array.ndim in (4, 5):
        mask = np.expand_dims(mask, channel_axis(data.specs[name], array) or 1)
    if mask.ndim != array.ndim or any(a not in (1, b) for a, b in zip(mask.shape, array.shape, strict=True)):
        raise InputError(
            f"masks of input {name!r}, {list(array.shape)}, are arrays [N, ...] that broadcast to it, or boxes [N, 4]; "
            f"these have the shape {list(mask.shape)}"
        )
    return mask.astype(bool)


def _boxes(boxes: np.ndarray, array: np.ndarray, channels: int) -> np.ndarray:
    """Turn boxes (left, top, right, bottom) into masks; the right and bottom ends are not inside."""
    sides = [axis for axis in range(1, 4) if axis != channels]
    down = np.arange(array.shape[sides[0]])
    along = np.arange(array.shape[sides[1]])
    left, top, right, bottom = (boxes[:, i, None] for i in range(4))
    inside = ((down >= top) & (down < bottom))[:, :, None] & ((along >= left) & (along < right))[:, None, :]
    return np.expand_dims(inside, channels)
