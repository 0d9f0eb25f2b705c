"""Checks of the arrays that a caller gives for a target, and the scores that maps hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import TargetError
from onnxlrp.printable import shape_text
from onnxlrp.targets.kind import PREDICTED


def to_numbers(given: Any, name: str) -> np.ndarray:
    """Convert a value to an array of numbers. Raises TargetError if that fails, or if some are masked."""
    if np.ma.is_masked(given):
        raise TargetError(f"{name} holds masked values: fill them in first")
    try:
        return np.asarray(given)
    except Exception as error:  # whatever a library's __array__ raises
        raise TargetError(f"{name} must be numbers: {error}") from error


def per_sample(given: Any, name: str, one: tuple[int, ...], explained: str) -> np.ndarray:
    """Convert indices to int64 [1, *one] or [N, *one], where `one` is the shape of one sample's.

    An axis of size 1 may be left out of one sample's, or added to it. Raises TargetError if they are no integers, and
    for other shapes with a message that begins with `explained`, the thing that the indices choose.
    """
    array = to_numbers(given, name)
    if array.dtype.kind not in "iu" or array.size == 0 or array.max() > np.iinfo(np.int64).max:
        raise TargetError(f"{name} must be an integer or an array of integers, not {given!r:.80}")
    array = array.astype(np.int64)
    if array.ndim == 0 and one == (1,):
        array = array.reshape(1)
    array = array[None] if array.ndim == len(one) else array
    if not one and array.shape[1:] == (1,):
        array = array[:, 0]
    if array.shape[1:] != one:
        forms = f"{shape_text(one) if one else 'an integer'} or {shape_text(('N', *one))}"
        raise TargetError(f"{explained}: give {name} as {forms}, not {shape_text(np.shape(given))}")
    return array


def from_maps(maps: Sequence[Any]) -> np.ndarray | None:
    """Collect the scores [N, C] of one dict a sample, in the order of their keys; None if there are no dicts."""
    if not maps or not all(isinstance(entry, dict) for entry in maps):
        return None
    return np.array([list(entry.values()) for entry in maps])


def check_range(given: np.ndarray, count: int | str | None, name: str, things: tuple[str, str], output: str) -> None:
    """Raise TargetError for an index below −1 or past the last; `count` is no number if it is not known yet.

    `things` names the items that are counted, in singular and plural: ("class", "classes").
    """
    low, high = int(given.min(initial=0)), int(given.max(initial=0))
    if low < PREDICTED:
        meaning = "the predicted class" if name == "target" else "the last one"
        raise TargetError(f"{name} {low}: there are no negative indices here, -1 means {meaning}")
    if isinstance(count, int) and high >= count:
        if count == 1:
            raise TargetError(f"{name} {high}: {output!r} has one {things[0]} only; leave {name} out")
        raise TargetError(f"{name} {high}: {output!r} has the {things[1]} 0 to {count - 1}")
