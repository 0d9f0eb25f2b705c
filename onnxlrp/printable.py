"""Escapes for text from files, so that a terminal shows control characters instead of obeying them.

A name may hold sequences that move a terminal's cursor, colour it, set its title or turn the direction of text, and so
make a screen show something that no program has printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_CONTROLS = (
    "\x00-\x1f\x7f-\x9f"  # C0, delete, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of text
    "\u2028\u2029"  # line and paragraph separators
    "\ud800-\udfff"  # halves of a character, which no stream can write
)
_ANY = re.compile(f"[{_CONTROLS}]")
_BUT_LAYOUT = re.compile(f"(?![\n\t])[{_CONTROLS}]")


def escaped(text: object) -> str:
    r"""Escape a name, a path or another text of one line: `escaped("a\nb")` is `a\nb`, four characters."""
    return _ANY.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def escaped_lines(text: str) -> str:
    """Escape a text of several lines, which keeps its newlines and tabs."""
    return _BUT_LAYOUT.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def escaped_json(text: str) -> str:
    """Escape a JSON text without changing its meaning; newlines stay, because JSON has them between its values only."""
    return _BUT_LAYOUT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def listed(names: Iterable[object]) -> str:
    """Join names with commas."""
    return ", ".join(escaped(name) for name in names)


def shape_text(shape: Iterable[int | str | None] | None) -> str:
    """Write a shape as `[N, 3, ?]`; an unknown rank is `[…]`."""
    if shape is None:
        return "[…]"
    return "[" + ", ".join("?" if size is None else escaped(str(size)) for size in shape) + "]"
