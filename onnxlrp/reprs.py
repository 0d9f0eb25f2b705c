"""Short reprs: an object shows as one line, whatever arrays, graphs and weights it holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from onnxlrp.printable import escaped

_FIELD, _NAME, _WHOLE, _NAMES = 60, 60, 280, 3
"""Most characters in a field, a name and a whole repr, and most names in a list."""


class Brief:
    """Base of dataclasses with a short repr: the fields that differ from their defaults, each cut to 60 characters.

    A subclass that defines `__repr__` keeps its own.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # Assigned to the class itself, because `dataclass` overrides a repr that is only inherited.
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]

    def __repr__(self) -> str:
        given = (f"{f.name}={field_text(getattr(self, f.name))}" for f in changed_fields(self) if f.repr)
        return f"{type(self).__name__}({cut(', '.join(given), _WHOLE)})"


def changed_fields(instance: Any) -> list[dataclasses.Field[Any]]:
    """List the fields of a dataclass whose values are not their defaults."""
    return [f for f in dataclasses.fields(instance) if not _is_default(getattr(instance, f.name), f)]


def _is_default(value: Any, field: dataclasses.Field[Any]) -> bool:
    return value is field.default or (isinstance(value, float) and value == field.default)


def field_text(value: object) -> str:
    """Write a value as Python does, an array as the list of its numbers, cut to 60 characters."""
    return cut(repr(value.tolist() if hasattr(value, "tolist") else value), _FIELD)


def cut(text: object, most: int = _NAME) -> str:
    """Escape the control characters of a line, and replace everything past `most` characters by dots."""
    shown = escaped(text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def counted(number: int, noun: str) -> str:
    """Write a number with its noun: `1 input`, `3 inputs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def some(names: Iterable[object]) -> str:
    """List the first three names, and the number of the others."""
    every = list(names)
    more = [f"{len(every) - _NAMES} more"] if len(every) > _NAMES else []
    return ", ".join([*(cut(name, 40) for name in every[:_NAMES]), *more])
