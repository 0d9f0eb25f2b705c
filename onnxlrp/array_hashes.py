"""Summaries of arrays: type, shape, SHA-256 and sums, by which two arrays are told apart without their numbers."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

SMALL = 1000
"""Most numbers that a summary lists one by one."""


@dataclasses.dataclass(frozen=True)
class ArraySummary:
    """Type, shape and SHA-256 of an array, and the sums of its numbers."""

    dtype: str
    """Type as numpy writes it, such as "float32"; "string" for texts, "json" for maps and lists of them."""
    shape: tuple[int, ...]
    sha256: str
    """SHA-256 of the numbers in row-major order, little-endian; of texts as UTF-8 with a byte 0 after each; of anything
    else as JSON with sorted keys."""
    sum: float | None = None
    """Sum of the numbers; None for texts and maps, and where it is not finite."""
    absolute_sum: float | None = None
    """Sum of the absolute numbers."""
    values: tuple[Any, ...] | None = None
    """The numbers in row-major order, where the record states them."""

    def to_json(self) -> dict[str, Any]:
        """Convert to values that JSON has, without entries that are None."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        return {name: value for name, value in plain.items() if value is not None}


class ArrayHash:
    """Hash of an array that arrives in parts along its first axis.

    With `numbers=False` its summary has no sums, because the sum of a few numbers tells the numbers.
    """

    def __init__(self, numbers: bool = True) -> None:
        self._numbers = numbers
        self._digest: Any = hashlib.sha256()
        self._dtype = ""
        self._shape: tuple[int, ...] = ()
        self._sums = np.zeros(2)
        self._values: list[Any] = []
        self.count = 0
        """Number of parts so far."""

    def add(self, part: Any) -> None:
        """Add a part: an array, or a list or mapping that a model takes or gives in place of one."""
        if not isinstance(part, (np.ndarray, np.generic)):
            self._add_json(part)
            return
        array = np.asarray(part)
        self._grow(_named_type(array), array.shape)
        self._digest.update(_bytes_of(array))
        if not self._numbers:
            return
        self._sums = self._sums + _sums_of(array)
        if len(self._values) <= SMALL:
            self._values += array.reshape(-1)[: SMALL + 1].tolist()

    def summary(self, values: bool = False) -> ArraySummary:
        """Summarise all parts; with `values` the numbers are listed, if there are few enough."""
        sums = [float(one) if self._numbers and np.isfinite(one) else None for one in self._sums]
        listed = tuple(self._values) if values and len(self._values) <= SMALL else None
        return ArraySummary(self._dtype, self._shape, self._digest.hexdigest(), sums[0], sums[1], listed)

    def _grow(self, dtype: str, shape: tuple[int, ...]) -> None:
        if not self.count:
            self._dtype, self._shape = dtype, shape
        elif self._shape and shape:
            self._shape = (self._shape[0] + shape[0], *self._shape[1:])
        self.count += 1

    def _add_json(self, part: Any) -> None:
        self._grow("json", (len(part),) if isinstance(part, (list, tuple, Mapping)) else ())
        self._digest.update(json.dumps(part, sort_keys=True, default=_plain).encode())
        self._sums = self._sums + np.nan


def summary_of(array: Any, values: bool = False) -> ArraySummary:
    """Summarise one array; with `values` its numbers are listed, if there are few enough."""
    hashed = ArrayHash()
    hashed.add(array)
    return hashed.summary(values)


def hash_alone(array: Any) -> ArraySummary:
    """Summarise one array without sums, because the sum of a few numbers tells the numbers."""
    hashed = ArrayHash(numbers=False)
    hashed.add(array)
    return hashed.summary()


def array_bytes(array: np.ndarray) -> np.ndarray:
    """View the memory of an array in row-major order as bytes, [bytes]; copied only if it is not contiguous."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _sums_of(array: np.ndarray) -> np.ndarray:
    """Sum the numbers and the absolute numbers of an array; NaN if it holds none."""
    if array.dtype.kind not in "biuf":
        return np.full(2, np.nan)
    numbers = array if array.dtype.kind == "f" else array.astype(np.float64)  # the least integer has no absolute value
    return np.array([numbers.sum(dtype=np.float64), np.abs(numbers).sum(dtype=np.float64)])


def _named_type(array: np.ndarray) -> str:
    return "string" if array.dtype.kind in "OUST" else array.dtype.newbyteorder("=").name


def _bytes_of(array: np.ndarray) -> bytes | np.ndarray:
    if array.dtype.kind in "OUST":
        return b"".join(str(one).encode("utf-8", "surrogatepass") + b"\0" for one in array.reshape(-1).tolist())
    return array_bytes(array.astype(array.dtype.newbyteorder("<"), copy=False))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
