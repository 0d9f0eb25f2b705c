"""Conversion of the values that a caller gives for inputs to numpy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError


def as_mapping(inputs: Any) -> Mapping[str, Any]:
    """Check that the inputs of a call are a mapping. Raises InputError if they are not."""
    if isinstance(inputs, Mapping):
        return inputs
    kind = type(inputs).__name__
    raise InputError(f'the inputs are a mapping from names to arrays, such as {{"image": array}}, not a {kind}')


def to_array(value: Any, name: str, takes: object, dtype: np.dtype | None) -> np.ndarray:
    """Convert the value of the input `name` to an array; `takes` says in words which type and shape it takes.

    An array keeps its type, in native byte order; lists and numbers get the input's type if nothing is lost. Raises
    InputError if the value is no array, is masked or sparse, or holds numbers that are too large.
    """
    _refuse(value, name, takes)
    try:
        array = _as_objects(value) if dtype is not None and dtype.kind == "O" else np.asarray(value)
    except Exception as error:  # whatever a library's __array__ raises
        words = " ".join(str(error).split())
        raise InputError(f"input {name!r} takes {takes}; the value is no array: {words:.300}") from error
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if isinstance(value, (np.ndarray, np.generic)) or dtype is None:
        return array
    if array.dtype.kind in "biuf" and dtype.kind in "biuf":
        return cast(array, name, dtype)
    return array


def _as_objects(value: Any) -> np.ndarray:
    """Convert strings to objects, because numpy would turn numbers among them to strings, and read bytes as ASCII."""
    if isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    try:
        array = np.asarray(value)
    except UnicodeError:
        return np.asarray(value, dtype=object)
    return np.asarray(value, dtype=object) if array.dtype.kind in "OUST" else array


def cast(array: np.ndarray, name: str, dtype: np.dtype) -> np.ndarray:
    """Cast numbers to the type of the input `name`; they keep their own type if an integer type would change them.

    Raises InputError if a number overflows.
    """
    with np.errstate(all="ignore"):
        numbers = array.astype(dtype)
    if dtype.kind != "f":
        return numbers if np.array_equal(numbers, array) else array
    large = np.isinf(numbers) & ~np.isinf(array)
    if large.any():
        raise InputError(
            f"input {name!r} takes {dtype}, which cannot hold {array[large].flat[0]:.6g}: its largest number is "
            f"{np.finfo(dtype).max:.6g}"
        )
    return numbers


def type_of(array: np.ndarray, name: str) -> str:
    """Name an array's element type for an error message; `name` is used unless it holds Python objects."""
    if array.dtype.kind != "O":
        return name
    kinds = sorted({type(one).__name__ for one in array.ravel().tolist()})
    return "string" if kinds in (["str"], []) else f"of Python objects ({', '.join(kinds[:3])})"


def _refuse(value: Any, name: str, takes: object) -> None:
    """Raise InputError for masked and sparse arrays, which numpy would silently convert to other numbers."""
    parts = value if isinstance(value, (list, tuple)) else [value]
    masked = sum(np.ma.count_masked(one) for one in parts if isinstance(one, np.ma.MaskedArray))
    if masked:
        raise InputError(f"input {name!r}: {masked} values are masked; fill them in first, with array.filled(value)")
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise InputError(f"input {name!r} takes {takes}, not a sparse matrix: give it as value.toarray()")
