"""Checks of the arguments of `convert` that need no model."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean

_CHOICES = {
    "initial": ("output", "one"),
    "on_unsupported": ("error", "stop"),
    "precision": ("float32", "model"),
    "memory": ("normal", "low"),
}


def check_choices(**values: str) -> None:
    """Refuse a value that is none of the words of its argument."""
    for name, value in values.items():
        known = _CHOICES[name]
        if value not in known:
            near = did_you_mean(value, known)
            raise InputError(f"{name} is one of {', '.join(map(repr, known))}, not {value!r}{near}")


def check_names(**lists: Any) -> None:
    """Refuse a text where names are given, which would be read letter by letter."""
    for name, value in lists.items():
        if isinstance(value, (str, bytes)):
            raise InputError(f"{name} is a list of names, such as [{value!r:.80}], and not a text")


def check_flags(**flags: Any) -> None:
    """Refuse what is neither true nor false where a switch is given."""
    for name, value in flags.items():
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name} is True or False, not {value!r:.80}")
