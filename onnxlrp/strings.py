"""Conversion of arrays of strings to the form that a model takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import InputError


def as_strings(array: np.ndarray, name: str) -> np.ndarray:
    """Spell an array out as Python strings, dtype object: byte strings are the text that they hold in UTF-8.

    Raises InputError for what is no string among them (numbers, missing values, lists), naming the input `name`, the
    index and the type. Without this check onnxruntime would read such an element as the words that Python prints for
    it.

    ```python
    as_strings(np.array([b"caf\\xc3\\xa9", "tea"], dtype=object), "drinks")    # ["café", "tea"]
    ```
    """
    spelt = np.empty(array.shape, object)
    spelt.reshape(-1)[:] = [_spelt(v, place, array.shape, name) for place, v in enumerate(array.reshape(-1).tolist())]
    return spelt


def _spelt(value: Any, place: int, shape: tuple[int, ...], name: str) -> str:
    try:
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).decode("utf-8")
        if isinstance(value, str):
            if not value.isascii():
                value.encode("utf-8")
            return str(value)
    except UnicodeError as error:
        raise InputError(f"input '{name}' at {_index(place, shape)} holds no text in UTF-8: {error}") from error
    where = f"input '{name}' takes strings, but at {_index(place, shape)}"
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and np.isnan(value)):
        raise InputError(
            f"{where} one is missing ({type(value).__name__}): give the string that stands for a missing value in the "
            "model's training data, such as ''"
        )
    kind = type(value).__name__
    raise InputError(f"{where} is {value!r:.40} of type {kind}: write it as the string that the model knows")


def _index(place: int, shape: tuple[int, ...]) -> str:
    return "[" + ", ".join(str(i) for i in np.unravel_index(place, shape)) + "]"
