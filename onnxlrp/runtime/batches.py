"""Batches of `Explainer.map`: several inputs and per-sample targets, cut along axis 0."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.file_hashes import FileMark
from onnxlrp.interface import Interface
from onnxlrp.runtime import fingerprint, samples
from onnxlrp.runtime.files import Preprocess, picture_layout
from onnxlrp.runtime.given_values import Given
from onnxlrp.runtime.inputs import TensorSpec, check
from onnxlrp.runtime.samples import Files, Rows, Samples, file_ids
from onnxlrp.targets import TARGETS
from onnxlrp.targets.argument_arrays import to_numbers

USUAL = 16
"""Number of samples in a batch if neither the caller nor the model says how many."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """The inputs and options of one call of an explainer."""

    inputs: dict[str, Any]
    options: dict[str, Any]


class Batches:
    """A sequence of batches of `size` samples, the last one perhaps smaller; each is read only when it is asked for.

    Raises InputError if the inputs differ in their number of samples, or if the model takes another batch size.
    """

    def __init__(
        self,
        given: Given,
        options: Mapping[str, Any],
        specs: Mapping[str, TensorSpec],
        interface: Interface,
        size: int | None,
        preprocess: Preprocess,
        masks: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Take the inputs of all samples, and `options`: target, position and weights, None for those not given; and
        masks of inner values, [1, channels] or [samples, channels]."""
        inputs = given.inputs
        if not inputs or any(name not in specs for name in inputs):
            check(inputs, specs)  # raises an error that lists the unknown names and the model's own
        self._specs = {name: specs[name] for name in inputs}
        leading = next((name for name in interface.relevance if name in inputs), next(iter(inputs)))
        per_sample, fixed = _split(leading, {name: specs[name] for name in inputs})
        if interface.batch_axis is None and fixed != 1:
            raise InputError("the model explains one sample that has no batch axis: call the explainer on each")
        self._samples = {name: samples.find(inputs[name], specs[name], preprocess) for name in per_sample}
        self._shared = {name: value for name, value in inputs.items() if name not in per_sample}
        self.count = len(self._samples[leading])
        """Number of samples."""
        lengths = {name: len(one) for name, one in self._samples.items()}
        if len({*lengths.values()}) > 1 or not self.count:
            counts = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
            raise InputError(f"the inputs must all hold the same number of samples, at least one; they hold {counts}")
        self.size = _size(size, fixed, self.count)
        self.preprocess = preprocess
        """The scale of pixels of pictures that are read with a batch."""
        self._masks = masks or {}
        for name, mask in self._masks.items():
            if len(mask) not in (1, self.count):
                raise InputError(f"there are {self.count} samples, and masks of {name!r} for {len(mask)}")
        self._files = given.files
        self._columns, self._ids = given.columns, {**_file_names(self._samples[leading]), **given.ids}
        self._options = {
            name: Rows(to_numbers(value, name), name) if _is_per_sample(name, value, interface, self.count) else value
            for name, value in options.items()
        }

    def __len__(self) -> int:
        return -(-self.count // self.size)

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of each input that is a data frame, or a table with a header."""
        return {**{name: one.columns for name, one in self._samples.items() if one.columns}, **self._columns}

    def ids(self, index: int) -> dict[str, Any]:
        """Return the identifiers of the samples in a batch, by a name for them."""
        start, stop = self.span(index)
        return {name: values[start:stop] for name, values in self._ids.items() if len(values) == self.count}

    def originals(self, index: int) -> dict[str, list[str]]:
        """List the files of a batch's pictures, for each input that is given as pictures, one a sample."""
        start, stop = self.span(index)
        named = {name: one.names for name, one in self._samples.items() if isinstance(one, Files)}
        return {name: paths[start:stop] for name, paths in named.items() if paths}

    def masks(self, index: int) -> dict[str, np.ndarray]:
        """Return the masks of a batch by inner value."""
        start, stop = self.span(index)
        return {name: mask if len(mask) == 1 else mask[start:stop] for name, mask in self._masks.items()}

    @property
    def varying(self) -> frozenset[str]:
        """Names of the options that hold a value for each sample."""
        return frozenset(name for name, one in self._options.items() if isinstance(one, Rows))

    def pixels(self, index: int) -> dict[str, str]:
        """Name the scale of the pixels of each input that a batch reads from pictures."""
        return {name: str(self.preprocess.for_input(self._specs[name])) for name in self.originals(index)}

    def files(self, index: int) -> dict[str, tuple[FileMark, ...]]:
        """Mark the files that a batch is read from, by input."""
        span = self.span(index)
        found = {name: one.marks(*span) for name, one in self._samples.items() if isinstance(one, Files)}
        return {**self._files, **found}

    def span(self, index: int) -> tuple[int, int]:
        """Return the range of samples in a batch: the first, and one past the last."""
        return index * self.size, min((index + 1) * self.size, self.count)

    def read(self, index: int) -> Batch:
        """Read one batch, opening its files."""
        start, stop = self.span(index)
        inputs = {name: one.read(start, stop) for name, one in self._samples.items()}
        options = {name: one.read(start, stop) if isinstance(one, Rows) else one for name, one in self._options.items()}
        return Batch({**self._shared, **inputs}, options)

    def first(self) -> dict[str, Any]:
        """Read the inputs of the first sample alone."""
        return {**self._shared, **{name: one.read(0, 1) for name, one in self._samples.items()}}

    def fingerprint(self, index: int, about: Any = None) -> str:
        """Hash the inputs and targets of a batch, together with `about`: everything else that its relevance depends on.

        Arrays, lists and tables are hashed by type, shape and every byte, pictures by the bytes of their files.
        """
        varying: dict[str, Samples] = {**self._samples}
        varying |= {f"{name} of the call": one for name, one in self._options.items() if isinstance(one, Rows)}
        digest = hashlib.sha256()
        fingerprint.add(digest, about)
        for name, one in varying.items():
            fingerprint.add(digest, name)
            one.identify(*self.span(index), digest)
        return digest.hexdigest()

    @property
    def names(self) -> list[str]:
        """Names of the inputs that were given."""
        return [*self._samples, *self._shared]

    @property
    def pixel_scale(self) -> str:
        """Scale of the pixels of pictures, as `Preprocess.parse` reads it; those of several inputs with commas."""
        scales = (self.preprocess.for_input(spec) for spec in self._specs.values() if picture_layout(spec) is not None)
        return ", ".join(dict.fromkeys(map(str, scales))) or "raw"

    @property
    def shared_names(self) -> list[str]:
        """Names of the inputs whose value all samples share."""
        return [*self._shared]

    def shared(self) -> str:
        """Hash the inputs and options that all batches have in common."""
        same = {name: option for name, option in self._options.items() if not isinstance(option, Rows)}
        return fingerprint.of([self._shared, same, *([self._masks] if self._masks else [])])


def _file_names(samples: Samples) -> dict[str, Any]:
    """Name the samples by their files, if each file is one."""
    names = samples.names if isinstance(samples, Files) else []
    return {**file_ids([Path(name) for name in names])}


def _split(leading: str, specs: Mapping[str, TensorSpec]) -> tuple[list[str], int | None]:
    """Find the inputs that hold one value per sample, and the batch size that the model fixes, or None if it fixes
    none.

    If the leading input's first axis is a number, only inputs with the same number there hold one value per sample. If
    it is a symbol, all inputs whose first axis is not a number do. All other inputs are shared by all samples.
    """
    shape = specs[leading].shape
    first = shape[0] if shape else None
    if specs[leading].dtype is None or shape == ():
        raise InputError(f"input {leading!r} takes {specs[leading]}, which has no axis for samples")
    per_sample = []
    for name, spec in specs.items():
        axis = spec.shape[0] if spec.shape else None
        tensor = spec.dtype is not None and spec.shape != ()
        if tensor and (axis == first if isinstance(first, int) else not isinstance(axis, int)):
            per_sample.append(name)
    return per_sample, first if isinstance(first, int) else None


def _size(size: int | None, fixed: int | None, count: int) -> int:
    """Agree on a batch size: the caller's, the model's fixed one, or the usual one."""
    if size is not None and (not isinstance(size, (int, np.integer)) or size < 1):
        raise InputError(f"batch_size is a whole number from 1 on, not {size!r}")
    if fixed is None:
        return int(size or USUAL)
    if size not in (None, fixed):
        raise InputError(f"the model takes batches of {fixed}, as its file declares: leave batch_size out")
    if count % fixed:
        raise InputError(f"the model takes batches of {fixed} only, and {count} samples do not fill whole batches")
    return fixed


def _is_per_sample(name: str, value: Any, interface: Interface, count: int) -> bool:
    """Decide whether a target, position or weights differ between samples: then axis 0 counts them."""
    if value is None:
        return False
    return TARGETS[interface.target].is_per_sample(name, to_numbers(value, name).shape, interface, count)
