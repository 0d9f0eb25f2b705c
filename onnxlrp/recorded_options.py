"""Options of a conversion as plain values, so that a file can say them and another process can convert alike."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from onnxlrp.array_hashes import hash_alone

ELSEWHERE = ("model", "composite", "rules", "background", "check")
"""Arguments of `convert` that are told by other fields, or that change nothing in the explained model."""


def changed_options(call: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the arguments of a call that are not its defaults, as values that JSON has.

    `call` is `convert`, `given` its arguments by name. An argument that JSON cannot hold is told as the name of its
    type in angle brackets, which no conversion takes.
    """
    defaults = {name: one.default for name, one in inspect.signature(call).parameters.items() if name not in ELSEWHERE}
    plain = {name: _plain(given[name]) for name in defaults if name in given}
    return {name: value for name, value in plain.items() if value != _plain(defaults[name])}


def told_background(background: Any) -> dict[str, Any]:
    """Tell the rows that a conversion used by their hashes, and the number of centres that were taken of them.

    `background` is an `analysis.references.Background`, or None; empty if no row was used.
    """
    if background is None or not background.used:
        return {}
    rows = {str(value.name): hash_alone(array).to_json() for value, array in background.rows.items()}
    return {"background": {"rows": rows, **({} if background.clusters is None else {"kmeans": background.clusters})}}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return f"<{type(value).__name__}>"
