"""The samples that an evaluation runs on: checked arrays, cut into batches that the model takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.runtime.batches import USUAL, Batches
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import by_name
from onnxlrp.runtime.input_kinds import time_axis
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.prepared import Prepared
from onnxlrp.runtime.providers import CPU

_ELEMENTS = 1 << 19
"""Number of input elements in a run. EfficientNet-Lite0 takes 4.9 ms a picture in runs of 1 to 4, 5.8 in runs of 16."""
_MOST_ROWS = 256


@dataclasses.dataclass(frozen=True, eq=False)
class EvaluatedData:
    """Arrays of all samples, as the session takes them."""

    feeds: Mapping[str, Any]
    varying: tuple[str, ...]
    """Names of the inputs that hold one value for each sample; the others are shared."""
    explained: tuple[str, ...]
    """Names of the inputs that are explained."""
    count: int
    """Number of samples."""
    batch_size: int
    fixed: bool
    """True if the model takes batches of `batch_size` only."""
    rows: int
    """Number of samples in a run of the model alone."""
    specs: Mapping[str, TensorSpec]
    tokens: Mapping[str, Any]
    """Tokens of the inputs that are texts, one entry a sample."""
    columns: Mapping[str, tuple[str, ...]]
    time_axes: Mapping[str, int]
    """Axis of each series that holds time, as far as the model's file says it."""

    def time_axis(self, name: str) -> int:
        """Return the axis of a series [N, ., .] that holds time: what the file says, else a guess from the shapes."""
        known = self.time_axes.get(name)
        return time_axis(self.specs[name], self.feeds[name]) if known is None else known

    def spans(self) -> Iterator[slice | np.ndarray]:
        """Yield the batches as ranges of samples; one that is short gets its last sample again where the model takes
        batches of one size only."""
        for start in range(0, self.count, self.batch_size):
            stop = start + self.batch_size
            is_short = self.fixed and stop > self.count
            yield (
                np.minimum(np.arange(start, stop), self.count - 1) if is_short else slice(start, min(stop, self.count))
            )

    def batch(self, rows: slice | np.ndarray, changed: Mapping[str, np.ndarray] | None = None) -> dict[str, Any]:
        """Return the feeds of some samples, with the arrays of `changed` in place of their own."""
        changed = changed or {}
        own = {name: self.feeds[name][rows] for name in self.varying if name not in changed}
        shared = {name: value for name, value in self.feeds.items() if name not in self.varying}
        return {**shared, **own, **changed}

    def taking(self, rows: np.ndarray) -> EvaluatedData:
        """Return the data of some samples alone."""
        feeds = {name: value[rows] if name in self.varying else value for name, value in self.feeds.items()}
        tokens = {name: [some[row] for row in rows] for name, some in self.tokens.items()}
        return dataclasses.replace(self, feeds=feeds, tokens=tokens, count=len(rows))


def read_data(explainer: Explainer, data: Any, batch_size: int | None, preprocess: str) -> EvaluatedData:
    """Read what was given to `evaluate`: values by input, the one input's value alone, or a table.

    Raises InputError if it does not fit the model, and for explained inputs that all samples share.
    """
    given = by_name(data, explainer.inputs, explainer.columns)
    how = Preprocess.parse(preprocess)
    batches = Batches(given, {}, explainer.inputs, explainer.interface, batch_size, how)
    leading = next(name for name in explainer.interface.relevance if name in given.inputs)
    shape = explainer.inputs[leading].shape
    fixed = shape is not None and len(shape) > 0 and isinstance(shape[0], int)
    size = batches.size if fixed else min(batch_size or USUAL, batches.count)
    if not fixed:
        batches = Batches(given, {}, explainer.inputs, explainer.interface, batches.count, how)
    parts = [explainer.prepare(batches.read(index).inputs, preprocess=how) for index in range(len(batches))]
    names = _varying(parts[0], batches, explainer)
    shared = [name for name in explainer.interface.relevance if name not in names]
    if shared:
        raise InputError(f"input {shared[0]!r} is the same for all samples, so that its explanation cannot be measured")
    joined = {name: np.concatenate([part.feeds[name] for part in parts]) for name in names}
    return EvaluatedData(
        feeds={**parts[0].feeds, **joined},
        varying=names,
        explained=tuple(explainer.interface.relevance),
        count=batches.count,
        batch_size=size,
        fixed=fixed,
        rows=size if fixed or batch_size is not None else _rows(joined, explainer.providers[0]),
        specs=explainer.inputs,
        tokens={name: [one for part in parts for one in part.tokens[name]] for name in parts[0].tokens},
        columns={**parts[0].columns, **batches.columns},
        time_axes=explainer.interface.time_axes,
    )


def _varying(part: Prepared, batches: Batches, explainer: Explainer) -> tuple[str, ...]:
    """Name the inputs with a value for each sample, those that a tokenizer filled in included."""
    shared = set(batches.shared_names)
    filled = {name for name in part.feeds if name not in batches.names}
    shared |= {name for name in filled if not _counts_samples(explainer.inputs[name])}
    return tuple(name for name in part.feeds if name not in shared)


def _rows(arrays: Mapping[str, np.ndarray], provider: str) -> int:
    """Choose the number of samples in a run: as many as fit into a processor's caches, and more on any other device."""
    elements = sum(value[0].size for value in arrays.values())
    rows = min(max(_ELEMENTS // max(elements, 1), 4), _MOST_ROWS)
    return rows if provider == CPU else max(rows, _MOST_ROWS // 4)


def _counts_samples(spec: TensorSpec) -> bool:
    return bool(spec.shape)
