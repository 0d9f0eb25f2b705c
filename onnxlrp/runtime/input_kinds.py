"""Kinds of input: they decide what is removed at once and what takes its place."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np

from onnxlrp.runtime.files import picture_layout
from onnxlrp.runtime.inputs import TensorSpec

InputKind = Literal["picture", "series", "table", "text", "elements"]

_CHANNELS = (1, 2, 3, 4)
"""Usual numbers of channels."""
_SMALLEST_PICTURE = 16
"""Least side of a square input without channels that is a picture, not a series."""


def input_kind(spec: TensorSpec, array: np.ndarray, has_tokens: bool = False) -> InputKind:
    """Decide what an input of all samples, [N, ...], holds; `has_tokens` if tokens or an attention mask go with it.

    Whole numbers [N, T] are the ids of a text if tokens go with them, if the number of columns is open, or if the
    name says so, else they are a table.
    """
    if array.ndim <= 2:
        is_ids = array.ndim == 2 and array.dtype.kind in "iu" and array.shape[1] > 1
        return "text" if is_ids and (has_tokens or says_ids(spec)) else "table"
    if array.ndim in (4, 5):
        return "picture"
    if array.ndim == 3:
        height, width = array.shape[1:]
        is_square = height == width >= _SMALLEST_PICTURE and picture_layout(spec) == "NHW"
        return "picture" if is_square or array.dtype == np.uint8 else "series"
    return "elements"


def says_ids(spec: TensorSpec) -> bool:
    """Decide whether a declaration is that of ids: an open number of columns, or a name such as `input_ids`."""
    is_open = spec.shape is None or not isinstance(spec.shape[1], int)
    words = re.split(r"[^a-z]+", spec.name.lower())
    return is_open or any(word in ("id", "ids", "token", "tokens") for word in words)


def channel_axis(spec: TensorSpec, array: np.ndarray) -> int | None:
    """Find the axis of a picture, volume or sequence [N, ...] that holds its channels; None for [N, height, width].

    A sequence may have its channels at axis 2, after the frames.
    """
    if array.ndim == 3:
        return None
    if array.ndim == 5:
        if array.shape[1] in _CHANNELS:
            return 1
        return 4 if array.shape[4] in _CHANNELS else 2 if array.shape[2] in _CHANNELS else 1
    return 3 if picture_layout(spec) == "NHWC" else 1


def time_axis(spec: TensorSpec, array: np.ndarray) -> int:
    """Find the axis of a series [N, ., .] that holds time: the one of open length, else the longer, else axis 1."""
    shape = spec.shape or (None, None, None)
    is_open = [not isinstance(size, int) for size in shape[1:]]
    if is_open[0] != is_open[1]:
        return 1 + is_open.index(True)
    return 2 if array.shape[2] > array.shape[1] else 1
