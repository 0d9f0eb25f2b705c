"""Kinds of input: they decide what is removed at once and what takes its place."""

from __future__ import annotations

from typing import Literal

import numpy as np

from onnxlrp.runtime.files import picture_layout
from onnxlrp.runtime.inputs import TensorSpec

InputKind = Literal["picture", "series", "table", "text", "elements"]

_SMALLEST_PICTURE = 16
"""Least side of a square input without channels that is a picture, not a series."""


def input_kind(spec: TensorSpec, array: np.ndarray) -> InputKind:
    """Decide what an input of all samples, [N, ...], holds."""
    if array.dtype.kind in "iuO" and array.ndim == 2 and array.dtype != np.uint8:
        return "text" if array.dtype.kind in "iu" and array.shape[1] > 1 else "table"
    if array.ndim == 4:
        return "picture"
    if array.ndim == 3:
        height, width = array.shape[1:]
        is_square = height == width >= _SMALLEST_PICTURE and picture_layout(spec) == "NHW"
        return "picture" if is_square or array.dtype == np.uint8 else "series"
    return "table" if array.ndim <= 2 else "elements"


def channel_axis(spec: TensorSpec, array: np.ndarray) -> int | None:
    """Find the axis of a picture [N, ...] that holds its channels; None for [N, height, width]."""
    if array.ndim == 3:
        return None
    return 3 if picture_layout(spec) == "NHWC" else 1


def time_axis(spec: TensorSpec, array: np.ndarray) -> int:
    """Find the axis of a series [N, ., .] that holds time: the one of open length, else the longer, else axis 1."""
    shape = spec.shape or (None, None, None)
    is_open = [not isinstance(size, int) for size in shape[1:]]
    if is_open[0] != is_open[1]:
        return 1 + is_open.index(True)
    return 2 if array.shape[2] > array.shape[1] else 1
