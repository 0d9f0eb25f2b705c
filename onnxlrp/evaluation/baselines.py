"""Baselines: what takes the place of removed parts. Mean, blur, zero, mask token, or a value from other samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.units import Units
from onnxlrp.runtime.input_kinds import InputKind, channel_axis

DRAWS = 4
"""Number of other samples that a removed value is drawn from; scores are averaged over them."""
USUAL = {"picture": "mean", "series": "mean", "table": "other_samples", "text": "mask_token", "elements": "mean"}
"""Baseline of each kind of input, where the caller names none."""


@dataclasses.dataclass(frozen=True, eq=False)
class Baseline:
    """Arrays that take the place of removed parts."""

    draws: tuple[Mapping[str, np.ndarray], ...]
    """One or several arrays for each explained input, [N or 1, ...]; scores are averaged over the draws."""
    text: str
    """Baseline in words."""

    def taking(self, rows: np.ndarray) -> Baseline:
        """Return the baseline of some of the samples only."""
        draws = ({name: one if len(one) == 1 else one[rows] for name, one in draw.items()} for draw in self.draws)
        return Baseline(tuple(draws), self.text)


def make_baseline(data: EvaluatedData, units: Units, wanted: Any, mask_token: int | None, seed: int) -> Baseline:
    """Make the baseline of every explained input.

    `wanted` is "auto", a name, a number, an array that broadcasts to the one explained input, or a dictionary of these
    by input; `mask_token` is the id that replaces tokens.
    Raises InputError if the baseline does not exist, or does not fit the kind of input.
    """
    random = np.random.default_rng(seed)
    shifts = random.permutation(np.arange(1, data.count))[:DRAWS] if data.count > 1 else np.array([0])
    parts: dict[str, list[np.ndarray]] = {}
    words = []
    for name in data.explained:
        given = wanted.get(name, "auto") if isinstance(wanted, Mapping) else wanted
        parts[name], said = _of_input(data, name, units.kinds[name], given, mask_token, shifts)
        words.append(said)
    count = max(map(len, parts.values()))
    draws = tuple({name: some[draw % len(some)] for name, some in parts.items()} for draw in range(count))
    return Baseline(draws, ", ".join(dict.fromkeys(words)))


def _of_input(
    data: EvaluatedData, name: str, kind: InputKind, wanted: Any, mask_token: int | None, shifts: np.ndarray
) -> tuple[list[np.ndarray], str]:
    array, spec = data.feeds[name], data.specs[name]
    if not isinstance(wanted, str):
        return [_given(wanted, array, name)], "values as given"
    chosen = USUAL[kind] if wanted == "auto" else wanted
    if chosen == "other_samples" and data.count == 1 and wanted == "auto":
        chosen = "zero"
    if array.dtype.kind == "O" and chosen != "other_samples":
        raise InputError(f"input {name!r} holds strings, whose only baseline is 'other_samples': give more samples")
    if chosen == "other_samples":
        return _from_others(array, shifts, name), f"values of {len(shifts)} other samples"
    if chosen == "mask_token" and kind == "text":
        token = 0 if mask_token is None else mask_token
        return [np.full_like(array[:1], token)], f"token {token}" + (" (no mask token is known)" if mask_token is None
                                                                     else "")  # fmt: skip
    if chosen == "zero":
        return [np.zeros_like(array[:1])], "0"
    if chosen == "mean" and kind != "text":
        return _mean(data, name, kind)
    if chosen == "blur" and kind == "picture":
        return [_blurred(array, channel_axis(spec, array))], "a blurred picture"
    raise InputError(f"{chosen!r} is no baseline for input {name!r}, a {kind}: take {', '.join(_fitting(kind))}, "
                     "a number or an array")  # fmt: skip


def _fitting(kind: InputKind) -> list[str]:
    own = {"picture": ["mean", "blur"], "text": ["mask_token"]}.get(kind, ["mean"])
    return ["auto", *own, "zero", "other_samples"]


def _given(wanted: Any, array: np.ndarray, name: str) -> np.ndarray:
    try:
        value = np.asarray(wanted).astype(array.dtype)
        rows = len(value) if value.ndim == array.ndim else 1
        return np.array(np.broadcast_to(value, (rows, *array.shape[1:])))
    except (TypeError, ValueError) as error:
        raise InputError(f"the baseline does not broadcast to input {name!r}, {list(array.shape)}: {error}") from error


def _from_others(array: np.ndarray, shifts: np.ndarray, name: str) -> list[np.ndarray]:
    if len(array) == 1:
        raise InputError(f"input {name!r} has one sample, so that no value can be drawn from others")
    return [np.roll(array, shift, axis=0) for shift in shifts]


def _mean(data: EvaluatedData, name: str, kind: InputKind) -> tuple[list[np.ndarray], str]:
    """Take means: over a picture or a series for each of its channels, over all samples for the columns of a table."""
    array = data.feeds[name]
    if kind == "table":
        return [_filled(array[:1], array.mean(axis=0, keepdims=True))], "the mean of all samples"
    if kind == "picture":
        channels = channel_axis(data.specs[name], array)
        axes = tuple(axis for axis in range(1, array.ndim) if axis != channels)
        return [_filled(array, array.mean(axis=axes, keepdims=True))], "the picture's mean colour"
    if kind == "series":
        return [_filled(array, array.mean(axis=data.time_axis(name), keepdims=True))], "the mean over time"
    return [_filled(array[:1], array.mean(axis=0, keepdims=True))], "the mean of all samples"


def _filled(array: np.ndarray, mean: np.ndarray) -> np.ndarray:
    rounded = np.rint(mean) if array.dtype.kind in "iu" else mean
    return np.array(np.broadcast_to(rounded.astype(array.dtype), array.shape))


def _blurred(array: np.ndarray, channels: int | None) -> np.ndarray:
    """Blur pictures by a Gaussian with a sigma of a tenth of each side."""
    blurred = array.astype(np.float64)
    for axis in (axis for axis in range(1, array.ndim) if axis != channels):
        blurred = np.apply_along_axis(_gaussian(array.shape[axis]), axis, blurred)
    return _filled(array, blurred)


def _gaussian(length: int) -> Callable[[np.ndarray], np.ndarray]:
    """Make a function that blurs a line of this length, whose ends are mirrored."""
    sigma = max(length / 10, 0.5)
    reach = min(int(3 * sigma), length - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    return lambda line: np.convolve(np.pad(line, reach, mode="reflect"), weights, mode="valid")
