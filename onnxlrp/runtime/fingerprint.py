"""Fingerprints of data, which depend on the type, the shape and every byte of a value."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.array_hashes import array_bytes
from onnxlrp.errors import InputError


def add(digest: Any, value: Any) -> None:
    """Add a value to a hash: numbers, texts, arrays, and lists, tuples and mappings of these.

    Every part is preceded by its kind and its length, so that no two values give the same bytes; only a list and a
    tuple of the same content are not told apart. Raises InputError for an object of another kind.
    """
    try:
        _add(digest, value)
    except RecursionError as error:
        raise InputError("a list among the data is nested too deeply, or holds itself") from error


def of(value: Any) -> str:
    """Return the SHA-256 of one value as hexadecimal digits; see `add`."""
    digest = hashlib.sha256()
    add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, str):
        _put(digest, "text", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, (bytes, bytearray)):
        _put(digest, "bytes", bytes(value))
    elif isinstance(value, (list, tuple)):
        _put_many(digest, "list", value)
    elif isinstance(value, Mapping):
        _put_many(digest, "mapping", [part for pair in value.items() for part in pair])
    elif value is None or type(value) in (bool, int, float, complex):
        _put(digest, type(value).__name__, repr(value).encode())
    elif isinstance(value, np.ma.MaskedArray):
        _put_many(digest, "masked", [np.ma.getdata(value), np.ma.getmaskarray(value)])
    else:
        _put_array(digest, _as_array(value))


def _put(digest: Any, kind: str, content: bytes) -> None:
    digest.update(f"{kind} {len(content)}:".encode())
    digest.update(content)


def _put_many(digest: Any, kind: str, parts: Any) -> None:
    digest.update(f"{kind} {len(parts)}:".encode())
    for part in parts:
        _add(digest, part)


def _put_array(digest: Any, array: np.ndarray) -> None:
    """Hash an array; strings of any length and Python objects one by one, because the array itself holds addresses."""
    _put(digest, "array", f"{array.dtype.descr if array.dtype.names else array.dtype.str} {array.shape}".encode())
    if array.dtype.hasobject or array.dtype.kind == "T":
        _put_many(digest, "objects", array.ravel().tolist())
    else:
        digest.update(array_bytes(array))


def _as_array(value: Any) -> np.ndarray:
    is_array = hasattr(value, "__array__") or hasattr(value, "__array_interface__")  # the latter: Pillow's pictures
    if not isinstance(value, (np.ndarray, np.generic)) and not is_array:
        raise InputError(f"a {type(value).__name__} among the data cannot be told from others: give arrays or lists")
    return np.asarray(value)
