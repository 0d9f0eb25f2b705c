"""What `Explainer.map` is given, cut into batches: several inputs, and targets of their own per sample."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.runtime import fingerprint, samples
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.inputs import TensorSpec, check
from onnxlrp.runtime.samples import Rows, Samples
from onnxlrp.runtime.values import as_mapping
from onnxlrp.targets import TARGETS
from onnxlrp.targets.given import to_numbers

USUAL = 16
"""Samples in a batch where neither the caller nor the model says how many."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """One batch: the arguments of a call."""

    inputs: dict[str, Any]
    options: dict[str, Any]


class Batches:
    """Batches of `size` samples, the last one perhaps smaller; read one by one.

    Raises InputError where inputs differ in their number of samples, or where the model takes another size of batch.
    """

    def __init__(
        self,
        inputs: Mapping[str, Any],
        options: Mapping[str, Any],
        ports: Mapping[str, TensorSpec],
        interface: Interface,
        size: int | None,
        preprocess: Preprocess,
    ) -> None:
        """`options`: target, position and weights; None where not given."""
        inputs = as_mapping(inputs)
        if not inputs or any(name not in ports for name in inputs):
            check(inputs, ports)  # raises: names them all, and the ones there are
        leading = next((name for name in interface.relevance if name in inputs), next(iter(inputs)))
        per_sample, fixed = _split(leading, {name: ports[name] for name in inputs})
        if interface.batch_axis is None and fixed != 1:
            raise InputError("the model explains one sample that has no batch axis: call the explainer on each")
        self._samples = {name: samples.find(inputs[name], ports[name], preprocess) for name in per_sample}
        self._shared = {name: value for name, value in inputs.items() if name not in per_sample}
        self.count = len(self._samples[leading])
        """Of samples."""
        lengths = {name: len(one) for name, one in self._samples.items()}
        if len({*lengths.values()}) > 1 or not self.count:
            found = ", ".join(f"{name!r} {length}" for name, length in lengths.items())
            raise InputError(f"the inputs must hold as many samples each, and at least one; here are {found}")
        self.size = _size(size, fixed, self.count)
        self._options = {
            name: Rows(to_numbers(value, name), name) if _is_per_sample(name, value, interface, self.count) else value
            for name, value in options.items()
        }

    def __len__(self) -> int:
        return -(-self.count // self.size)

    def span(self, index: int) -> tuple[int, int]:
        """The samples of a batch: first, and one past the last."""
        return index * self.size, min((index + 1) * self.size, self.count)

    def read(self, index: int) -> Batch:
        """Opens the files of a batch."""
        start, stop = self.span(index)
        inputs = {name: one.read(start, stop) for name, one in self._samples.items()}
        options = {name: one.read(start, stop) if isinstance(one, Rows) else one for name, one in self._options.items()}
        return Batch({**self._shared, **inputs}, options)

    def fingerprint(self, index: int, about: Any = None) -> str:
        """Tells a batch's inputs and targets from others; `about` is what else they depend on.

        Arrays, lists and tables are told apart by type, shape and every byte, pictures by the bytes of their files.
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
        """The inputs that were given."""
        return [*self._samples, *self._shared]

    def shared(self) -> str:
        """Fingerprint of what all batches have in common."""
        same = {name: option for name, option in self._options.items() if not isinstance(option, Rows)}
        return fingerprint.of([self._shared, same])


def _split(leading: str, ports: Mapping[str, TensorSpec]) -> tuple[list[str], int | None]:
    """The inputs that hold one value per sample, and how many samples the model takes at once, None for any number.

    Where the leading input's batch axis has a name, an input whose first axis is a number is the same for all samples;
    where it is a number, inputs of another one are.
    """
    shape = ports[leading].shape
    first = shape[0] if shape else None
    if ports[leading].dtype is None or shape == ():
        raise InputError(f"input {leading!r} takes {ports[leading]}, which has no axis for samples")
    found = []
    for name, port in ports.items():
        axis = port.shape[0] if port.shape else None
        tensor = port.dtype is not None and port.shape != ()
        if tensor and (axis == first if isinstance(first, int) else not isinstance(axis, int)):
            found.append(name)
    return found, first if isinstance(first, int) else None


def _size(size: int | None, fixed: int | None, count: int) -> int:
    """The size of a batch that caller and model agree on."""
    if size is not None and (not isinstance(size, (int, np.integer)) or size < 1):
        raise InputError(f"batch_size is a whole number from 1 on, not {size!r}")
    if fixed is None:
        return int(size or USUAL)
    if size not in (None, fixed):
        raise InputError(f"the model takes batches of {fixed}, as its file declares: leave batch_size out")
    if count % fixed:
        raise InputError(f"the model takes batches of {fixed} only, and {count} samples do not make up whole ones")
    return fixed


def _is_per_sample(name: str, value: Any, interface: Interface, count: int) -> bool:
    """Decide whether a target, position or weights differ between samples: then axis 0 counts them."""
    if value is None:
        return False
    return TARGETS[interface.target].is_per_sample(name, to_numbers(value, name).shape, interface, count)
