"""Units: what is removed at once. Patches or superpixels, features of tables, segments of series, tokens of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.superpixels import superpixels
from onnxlrp.runtime.input_kinds import InputKind, channel_axis, input_kind

PATCHES = 14
"""Number of patches along the longer side of a picture."""
SEGMENTS = 20
"""Number of segments of a series."""
NONE = -1
"""Label of an element that is never removed, such as padding."""


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """The units of all samples; unit u of a sample is all its elements with label u."""

    labels: Mapping[str, np.ndarray]
    """Label of each element of each explained input, int [N or 1, ...]; axes of size 1 are broadcast."""
    present: np.ndarray
    """Units that a sample has, bool [N, units]."""
    kinds: Mapping[str, InputKind]
    text: str
    """Units in words."""

    @property
    def count(self) -> int:
        """Largest number of units of a sample."""
        return self.present.shape[1]

    def taking(self, rows: np.ndarray) -> Units:
        """Return the units of some samples alone."""
        labels = {name: own if len(own) == 1 else own[rows] for name, own in self.labels.items()}
        return dataclasses.replace(self, labels=labels, present=self.present[rows])

    def sums(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Add up arrays in the inputs' shapes over each unit, float64 [N, units]."""
        total = np.zeros(self.present.shape)
        for name, labels in self.labels.items():
            total += _sums(np.asarray(values[name], dtype=np.float64), labels, self.count)
        return total

    def removed(self, name: str, rows: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Mark the elements of an input that are removed, bool [rows, ...], for masks of units [rows, units]."""
        labels = self.labels[name]
        padded = np.concatenate([masks, np.zeros((len(masks), 1), bool)], axis=1)  # label -1 is the last column
        if len(labels) == 1:
            return padded[:, labels[0]]
        flat = labels[rows].reshape(len(rows), -1)
        return np.take_along_axis(padded, flat, axis=1).reshape(len(rows), *labels.shape[1:])

    def spread(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Give every element the value of its unit; elements without a unit get 0."""
        padded = np.concatenate([values, np.zeros((len(values), 1))], axis=1)
        rows = np.arange(len(values))[:, None]
        return {
            name: padded[rows, np.broadcast_to(labels, (len(values), *labels.shape[1:])).reshape(len(values), -1)]
            .reshape(len(values), *labels.shape[1:])
            for name, labels in self.labels.items()
        }  # fmt: skip


def make_units(data: EvaluatedData, wanted: Any, size: int | None) -> Units:
    """Divide every explained input into units.

    `wanted` is "auto", the name of a unit, an array of labels for the one explained input, or a dictionary of them by
    input; `size` is the side of a patch, or the length of a segment, in elements.
    Raises InputError if there is no such unit, or if labels do not fit.
    """
    labels: dict[str, np.ndarray] = {}
    kinds: dict[str, InputKind] = {}
    words, first = [], 0
    for name in data.explained:
        array, spec = data.feeds[name], data.specs[name]
        kinds[name] = input_kind(spec, array, has_tokens=_used(data, name) is not None)
        given = wanted.get(name, "auto") if isinstance(wanted, Mapping) else wanted
        own, said = _labels_of(data, name, kinds[name], given, size)
        labels[name] = np.where(own == NONE, NONE, own + first)
        first += int(own.max(initial=-1)) + 1
        words.append(said)
    if not first:
        raise InputError("the inputs have no part that can be removed")
    present = np.zeros((data.count, first), bool)
    for own in labels.values():
        _mark_present(present, own)
    return Units(labels, present, kinds, _joined_words(words))


def _labels_of(
    data: EvaluatedData, name: str, kind: InputKind, wanted: Any, size: int | None
) -> tuple[np.ndarray, str]:
    array, spec = data.feeds[name], data.specs[name]
    if isinstance(wanted, np.ndarray):
        return _given_labels(wanted, array, name), "units as given"
    usual = {"picture": "patches", "series": "segments", "table": "features", "text": "tokens", "elements": "elements"}
    unit = usual[kind] if wanted == "auto" else wanted
    if unit == "patches" and kind == "picture":
        return _patches(array, channel_axis(spec, array), size)
    if unit == "superpixels" and kind == "picture" and array.ndim < 5:
        return _superpixels(array, channel_axis(spec, array), size)
    if unit == "segments" and kind == "series":
        return _segments(array, data.time_axis(name), size)
    if unit == "tokens" and kind == "text":
        return _tokens(data, name)
    if unit in ("features", "elements"):
        labels = np.arange(array[0].size).reshape(1, *array.shape[1:])
        return labels, "features" if kind == "table" else "elements"
    fitting = dict.fromkeys(("auto", usual[kind], *(["superpixels"] if kind == "picture" else []), "elements"))
    raise InputError(f"input {name!r} is a {kind}: its units are {', '.join(fitting)} or an array of labels, "
                     f"not {wanted!r:.80}")  # fmt: skip


def _patches(array: np.ndarray, channels: int | None, size: int | None) -> tuple[np.ndarray, str]:
    """Label square patches, or cubes of volumes; all channels of a patch are one unit."""
    axes = [axis for axis in range(1, array.ndim) if axis != channels]
    side = size or _side([array.shape[axis] for axis in axes])
    labels = np.zeros([1] * array.ndim, np.int64)
    for axis in axes:
        length = array.shape[axis]
        places = np.expand_dims(np.arange(length) // side, [other for other in range(array.ndim) if other != axis])
        labels = labels * -(-length // side) + places
    return labels, f"patches of {' × '.join([str(side)] * len(axes))}"


def _side(lengths: Sequence[int]) -> int:
    """Choose the side of a patch: so many along the longest side of a picture, half as many along a volume's."""
    return max(1, round(max(lengths) / (PATCHES if len(lengths) == 2 else PATCHES / 2)))


def _superpixels(array: np.ndarray, channels: int | None, size: int | None) -> tuple[np.ndarray, str]:
    """Label regions of like colour; all channels of a pixel are in one unit."""
    pictures = array[..., None] if channels is None else np.moveaxis(array, channels, -1)
    side = size or _side(pictures.shape[1:3])
    labels = superpixels(pictures, side)
    labels = labels if channels is None else np.expand_dims(labels, channels)
    return labels, f"superpixels of about {side} × {side}"


def _segments(array: np.ndarray, axis: int, size: int | None) -> tuple[np.ndarray, str]:
    """Label stretches of time; all channels of a segment are one unit."""
    length = array.shape[axis]
    step = size or max(1, round(length / SEGMENTS))
    shape = [1, 1, 1]
    shape[axis] = length
    return (np.arange(length) // step).reshape(shape), f"segments of {step} along axis {axis}"


def _tokens(data: EvaluatedData, name: str) -> tuple[np.ndarray, str]:
    """Label tokens; padding has no label, as far as the tokens or an attention mask tell it."""
    ids = data.feeds[name]
    labels = np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy()
    used = _used(data, name)
    if used is not None:
        labels[~used] = NONE
    return labels, "tokens"


def _used(data: EvaluatedData, name: str) -> np.ndarray | None:
    """Tell tokens from padding, bool [N, T]; None if nothing tells it."""
    shape = data.feeds[name].shape
    for other, value in data.feeds.items():
        if "mask" in other.lower() and isinstance(value, np.ndarray) and value.shape == shape:
            return value != 0
    return np.array([one.used for one in data.tokens[name]]) if name in data.tokens else None


def _given_labels(labels: np.ndarray, array: np.ndarray, name: str) -> np.ndarray:
    """Check a user's labels: whole numbers, -1 for elements that stay, that broadcast to the input."""
    if labels.dtype.kind not in "iu":
        raise InputError(f"the labels of units are whole numbers, not {labels.dtype}")
    if labels.ndim == array.ndim - 1:
        labels = labels[None]
    fits = labels.ndim == array.ndim and all(a in (1, b) for a, b in zip(labels.shape, array.shape, strict=True))
    if not fits:
        raise InputError(
            f"the labels of units have the shape {list(labels.shape)}, which does not broadcast to input {name!r}, "
            f"{list(array.shape)}"
        )
    if int(labels.min(initial=0)) < NONE:
        raise InputError("the labels of units count from 0; -1 marks elements that are never removed")
    return labels.astype(np.int64)


def _sums(values: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Add up values [N, ...] over labels that broadcast to them, float64 [N, count]."""
    axes = tuple(axis for axis in range(1, labels.ndim) if labels.shape[axis] == 1 < values.shape[axis])
    values = values.sum(axis=axes, keepdims=True)
    rows = np.arange(len(values)).reshape(-1, *[1] * (labels.ndim - 1))
    places = np.broadcast_to(np.where(labels == NONE, count, labels) + rows * (count + 1), values.shape)
    sums = np.bincount(places.ravel(), values.ravel(), len(values) * (count + 1))
    return sums.reshape(len(values), count + 1)[:, :count]


def _mark_present(present: np.ndarray, labels: np.ndarray) -> None:
    for row, own in zip(present if len(labels) > 1 else [present], labels, strict=True):
        row[..., np.unique(own[own != NONE])] = True


def _joined_words(words: list[str]) -> str:
    return ", ".join(dict.fromkeys(words))
