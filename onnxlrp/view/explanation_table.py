"""An explanation as one table: a row a sample where every input holds features, else a row an entry of an input.

Both forms name the explained target, its score, and what relevance adds up to, so that a row can be read alone.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.runtime.archive import unused
from onnxlrp.runtime.end_values import inner_as_inputs
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import is_cut, reductions_of
from onnxlrp.view.class_labels import labels_of_classes
from onnxlrp.view.picked_rows import axes_of_part, picked_columns

Columns = dict[str, np.ndarray]
"""Columns of a table by their names, all of one length."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Relevance and value of one input, a row for each sample and target."""

    relevance: np.ndarray
    """Relevance, [rows, ...]."""
    value: np.ndarray | None
    """Value of the input in the shape of the relevance; None if it is not known or of another shape."""


def table_of(explanation: Explanation, first: int = 0) -> Columns:
    """Lay an explanation out as a table; `first` is the number of its first sample among those of all batches.

    If all explained inputs hold features, one number each, the table is wide: a row for each sample and target, and for
    each feature its value by its own name, its relevance by that name with `_relevance`. Any other explanation is long:
    a row for each entry of an input, with its place on each axis after the batch, its value, its relevance, and its
    token where the input is a text, without padding. Relevance that was reduced is long too: by its own axes, or, where
    the largest elements alone were kept, by the rank and place of each.
    """
    explanation = inner_as_inputs(explanation)
    parts = parts_of(explanation)
    if is_wide(explanation):
        features = _features(explanation, parts)
        return {**_about(explanation, parts, features, many_rows=False, first=first), **features}
    return _long(explanation, parts, first)


def sample_rows(explanation: Explanation) -> Columns:
    """Lay an explanation out as a row for each sample (and target), whatever its inputs hold.

    This is the wide table if all explained inputs hold features; else relevance of an input is one column of arrays,
    without the shape of the input, and so are the places of elements if the largest alone were kept.
    """
    explanation = inner_as_inputs(explanation)
    if is_wide(explanation):
        return table_of(explanation)
    parts = parts_of(explanation)
    about = _about(explanation, parts, (), many_rows=False)
    columns: Columns = {}
    for name, part in parts.items():
        columns[unused(f"{name}_relevance", about)] = _arrays_of_rows(part.relevance)
        if name in explanation.relevance_indices:
            places = explanation.relevance_indices[name].reshape(part.relevance.shape)
            columns[unused(f"{name}_relevance_indices", about)] = _arrays_of_rows(places)
    return {**about, **columns}


def _arrays_of_rows(values: np.ndarray) -> np.ndarray:
    """Make a column of arrays [numbers] of an array [rows, ...]."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(flat(values))
    return column


def is_wide(explanation: Explanation) -> bool:
    """Decide whether all explained inputs hold one number per feature, none is a text, and none was reduced to fewer
    numbers."""
    if not all(reduction.keeps_shape for reduction in reductions_of(explanation.interface).values()):
        return False
    _, targets = counts(explanation)
    axes = 2 if targets == 1 else 3
    texts = any(name in explanation.tokens for name in explanation.relevance)
    return not texts and all(value.ndim <= axes for value in explanation.relevance.values())


def counts(explanation: Explanation) -> tuple[int, int]:
    """Count the samples and the targets of each."""
    interface, score = explanation.interface, explanation.score
    known = score if score is not None else explanation.target
    targets = interface.targets if interface is not None else 1
    if interface is None and score is not None and score.ndim == 2:
        targets = score.shape[1]
    if known is not None:
        return len(known), targets
    if interface is not None and interface.batch_axis is None:
        return 1, targets
    first = next(iter(explanation.relevance.values()), None)
    return (1 if first is None or first.ndim == 0 else len(first)), targets


def parts_of(explanation: Explanation) -> dict[str, Part]:
    """Cut the relevance of each input into rows, a row for each sample and target; a single sample may come without its
    axis.

    Raises InputError if an input's relevance belongs to no sample in particular.
    """
    samples, targets = counts(explanation)
    parts = {}
    for name, relevance in explanation.relevance.items():
        known = relevance if explanation.interface is None else by_sample(relevance, samples, targets)
        rows = _rows(known, name, samples, targets)
        parts[name] = Part(rows, _values(explanation.inputs.get(name), rows.shape, samples, targets))
    return parts


def by_sample(relevance: np.ndarray, samples: int, targets: int) -> np.ndarray:
    """Give the relevance of a single sample without a batch axis, [axis, ...] or [axis, K, ...], one of its own:
    [1, ...] or [1, K, ...]; any other is returned as it is."""
    if samples != 1 or relevance.shape[:1] == (1,):
        return relevance
    return relevance[None] if targets == 1 or relevance.ndim < 2 else np.moveaxis(relevance, 1, 0)[None]


def feature_names(explanation: Explanation, name: str, width: int) -> list[str]:
    """Name the features of an input [N, features]: by its columns, by the input itself, or as `x[0]`, `x[1]`."""
    known = list(explanation.columns.get(name, ()))
    if len(known) == width:
        return known
    return [name] if width == 1 else [f"{name}[{index}]" for index in range(width)]


def wide_names(explanation: Explanation, widths: Mapping[str, int]) -> dict[str, list[str]]:
    """Name the features of all inputs, those of several inputs that share a name as `input[feature]`, and those of one
    input that do as `input[index]`."""
    names = {name: feature_names(explanation, name, width) for name, width in widths.items()}
    every = collections.Counter(feature for one in names.values() for feature in one)
    return {name: [_told_apart(name, one, i, every) for i in range(len(one))] for name, one in names.items()}


def _told_apart(name: str, features: Sequence[str], index: int, every: Mapping[str, int]) -> str:
    """Name a feature so that no other has its name; `every` counts the features by their names."""
    feature = features[index]
    if every[feature] == 1:
        return feature
    return f"{name}[{feature}]" if features.count(feature) == 1 else f"{name}[{index}]"


def target_column(target: np.ndarray, rows: int) -> np.ndarray:
    """Write the explained classes as numbers, and elements by their indices: "3, 17"."""
    if target.size == rows:
        return target.reshape(rows)
    indices = target.reshape(rows, -1)
    return np.array([", ".join(map(str, one)) for one in indices.tolist()], dtype=object)


def label_column(explanation: Explanation, rows: int) -> np.ndarray | None:
    """Write the names of the explained classes; None if nothing names them."""
    interface, target = explanation.interface, explanation.target
    names: Sequence[Any] = labels_of_classes(explanation)
    if interface is not None and tuple(map(str, interface.labels)) == names:
        names = interface.labels  # numbers stay numbers
    if not names or target is None or target.size != rows:
        return None
    if target.min(initial=0) < 0 or target.max(initial=0) >= len(names):
        return None
    labels = np.array(names, dtype=object if isinstance(names[0], str) else np.int64)
    return labels[target.reshape(rows)]


def _rows(relevance: np.ndarray, name: str, samples: int, targets: int) -> np.ndarray:
    """Reshape relevance to [samples · targets, ...]."""
    front = (samples, targets) if targets > 1 else (samples,)
    if relevance.shape[: len(front)] == front:
        return relevance.reshape(samples * targets, *relevance.shape[len(front) :])
    raise InputError(
        f"relevance of {escaped(name)!r} is {list(relevance.shape)}, which does not count {samples} samples: write .npz"
    )


def _values(value: Any, shape: tuple[int, ...], samples: int, targets: int) -> np.ndarray | None:
    """Repeat an input's value for every target; None if it has no entry for each number of relevance."""
    if not isinstance(value, np.ndarray) or value.size * targets != int(np.prod(shape, dtype=np.int64)):
        return None
    return np.repeat(value.reshape(samples, *shape[1:]), targets, axis=0)


def _about(
    explanation: Explanation, parts: Mapping[str, Part], taken: Iterable[str], many_rows: bool, first: int = 0
) -> Columns:
    """Collect what is known of each row as a whole; a name that a feature or identifier has already gets `_1`
    appended."""
    samples, targets = counts(explanation)
    rows = samples * targets
    names = {*taken}
    ids = {unused(name, names): np.repeat(np.asarray(values), targets) for name, values in explanation.ids.items()}
    found: dict[str, np.ndarray | None] = {}
    if many_rows or targets > 1:
        found["sample"] = np.repeat(np.arange(first, first + samples), targets)
    target, position = explanation.target, explanation.position
    found["target_position"] = None if position is None else np.repeat(position, targets)
    found["target"] = None if target is None else target_column(target, rows)
    found["label"] = label_column(explanation, rows)
    totals = [flat(part.relevance).sum(axis=1, dtype=np.float64) for part in parts.values()]
    numbers = {
        "score": explanation.score,
        "base_value": explanation.base_value,
        "total_relevance": None if is_cut(explanation.interface) else np.sum(totals, axis=0),
        "raw_score": explanation.raw_score,
    }
    found |= {name: None if value is None else np.reshape(value, rows) for name, value in numbers.items()}
    names |= {*ids}
    return ids | {unused(name, names): value for name, value in found.items() if value is not None}


def flat(rows: np.ndarray) -> np.ndarray:
    """Reshape rows of any shape to [rows, features]; there may be no row."""
    return rows.reshape(len(rows), math.prod(rows.shape[1:]))


def _features(explanation: Explanation, parts: Mapping[str, Part]) -> Columns:
    """Lay out the features side by side, each with its value and its relevance."""
    blocks = {name: flat(part.relevance) for name, part in parts.items()}
    named = wide_names(explanation, {name: block.shape[1] for name, block in blocks.items()})
    every = {feature for names in named.values() for feature in names}
    columns: Columns = {}
    for name, block in blocks.items():
        value = parts[name].value
        values = None if value is None else value.reshape(block.shape)
        for index, feature in enumerate(named[name]):
            if values is not None:
                columns[feature] = values[:, index]
            columns[unused(f"{feature}_relevance", every)] = block[:, index]
    return columns


def _long(explanation: Explanation, parts: Mapping[str, Part], first: int) -> Columns:
    """Lay out all entries of all inputs below each other."""
    about = _about(explanation, parts, (), many_rows=True, first=first)
    axes = max(axes_of_part(explanation, name, part.relevance) for name, part in parts.items())
    blocks = [_entries(explanation, name, part, about, axes) for name, part in parts.items()]
    shared = [column for column in blocks[0] if all(column in block for block in blocks)]
    return {column: _joined([block[column] for block in blocks]) for column in shared}


def _entries(explanation: Explanation, name: str, part: Part, about: Columns, axes: int) -> Columns:
    """List the entries of one input; an axis that it lacks is -1."""
    rows, *shape = part.relevance.shape
    size = int(np.prod(shape, dtype=np.int64))
    columns = {key: np.repeat(value, size) for key, value in about.items()}
    columns["input"] = np.array([name] * (rows * size), dtype=object)
    titles = _axis_titles(explanation, axes)
    if name in explanation.relevance_indices:
        return _picked(explanation, name, part, columns, titles)
    if explanation.relevance_indices:
        columns |= {"rank": np.full(rows * size, -1), "index": np.tile(np.arange(size), rows)}
    indices = np.indices(shape).reshape(len(shape), size) if shape else np.zeros((0, size), np.int64)
    for axis, title in enumerate(titles):
        columns[title] = np.tile(indices[axis] if axis < len(shape) else np.full(size, -1), rows)
    kept = np.ones(rows * size, bool)
    if explanation.tokens:
        words = _of_tokens(explanation, name, rows, size, lambda one: one.names, "")
        kept = _of_tokens(explanation, name, rows, size, lambda one: one.used, True).astype(bool)
        columns["token"] = words
    if part.value is not None:
        columns["value"] = part.value.reshape(-1)
    columns["relevance"] = part.relevance.reshape(-1)
    return {key: value[kept] for key, value in columns.items()}


def _picked(explanation: Explanation, name: str, part: Part, columns: Columns, titles: list[str]) -> Columns:
    """List the most relevant elements of one input, the largest of each row first."""
    value = explanation.inputs.get(name)
    is_text = name in explanation.tokens
    width = value.shape[-1] if isinstance(value, np.ndarray) and value.ndim == 2 and not is_text else 0
    features = feature_names(explanation, name, width) if width and len(explanation.columns.get(name, ())) else []
    columns |= picked_columns(explanation, name, part.relevance, titles, features)
    if is_text:
        samples, targets = counts(explanation)
        texts = explanation.tokens[name]
        each = [texts[index if len(texts) > 1 else 0].names for index in range(samples) for _ in range(targets)]
        places = np.split(np.maximum(columns["index"], 0), len(each))
        columns["token"] = np.array([t[i] for t, where in zip(each, places, strict=True) for i in where], dtype=object)
    columns["relevance"] = part.relevance.reshape(-1)
    exists = columns["index"] >= 0
    return {key: column[exists] for key, column in columns.items()}


def _axis_titles(explanation: Explanation, axes: int) -> list[str]:
    """Name the axes after the batch; the only axis of texts is the position of a token."""
    return ["position"] if explanation.tokens and axes == 1 else [f"axis_{axis + 1}" for axis in range(axes)]


def _of_tokens(
    explanation: Explanation, name: str, rows: int, size: int, read: Callable[[Any], Any], other: Any
) -> np.ndarray:
    """List something of each token of an input's texts, or `other` for an input that is no text."""
    texts = explanation.tokens.get(name, ())
    if not texts or any(len(one) != size for one in texts):
        return np.full(rows * size, other, dtype=object)
    samples, targets = counts(explanation)
    each = [texts[index if len(texts) > 1 else 0] for index in range(samples) for _ in range(targets)]
    return np.array([entry for one in each for entry in read(one)], dtype=object)


def _joined(blocks: list[np.ndarray]) -> np.ndarray:
    """Join the blocks of a column; numbers beside texts are written as texts, so that a column has one type."""
    if len(blocks) == 1:
        return blocks[0]
    if len({block.dtype.kind in "biuf" for block in blocks}) > 1:
        return np.concatenate([block.astype(str).astype(object) for block in blocks])
    return np.concatenate(blocks)
