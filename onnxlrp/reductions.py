"""Reductions of relevance: what `convert(reduce=...)` may ask for, read from text."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean

_WORDS = ("channels", "grid", "top", "float16")
"""Parts of a reduction, in the order in which they are computed."""
_NUMBERED = ("grid", "top")
_EXAMPLE = "such as 'channels', 'grid=14', 'top=10', 'float16' or 'grid=14+top=10+float16'"
_NAMED = re.compile(r"(?:(?P<name>.+)=)?(?P<text>{0}(?:\+{0})*)".format(r"(?:channels|grid=\d+|top=\d+|float16)"))


@dataclasses.dataclass(frozen=True)
class Reduction:
    """Reduction of the relevance of one input, computed in the graph; its text is what `convert` takes."""

    channels: bool = False
    """True sums over the channels. A grid does so too."""
    grid: int | None = None
    """Number g of cells along each other axis; cell i holds the places from floor(i · size / g) to the next one's."""
    top: int | None = None
    """Number k of the elements that are kept, those of the largest absolute relevance."""
    half: bool = False
    """True makes the result float16."""

    @classmethod
    def parse(cls, text: Any) -> Reduction:
        """Read a text such as "channels+grid=14". Raises InputError for unknown parts and for another order."""
        if not isinstance(text, str):
            raise InputError(f"a reduction of relevance is a text {_EXAMPLE}, not {text!r:.80}")
        parts = [_read(part.strip(), text) for part in text.split("+")]
        places = [_WORDS.index(word) for word, _ in parts]
        if len({*places}) < len(places):
            raise InputError(f"the reduction {text!r:.80} names {_WORDS[max(places, key=places.count)]} twice")
        found = dict(sorted(parts, key=lambda part: _WORDS.index(part[0])))
        asked = cls("channels" in found, found.get("grid"), found.get("top"), "float16" in found)
        if places != sorted(places):
            raise InputError(f"the parts of a reduction have an order: write {str(asked)!r}, not {text!r:.80}")
        return asked

    def __str__(self) -> str:
        numbers = [f"{word}={n}" for word, n in (("grid", self.grid), ("top", self.top)) if n is not None]
        return "+".join([*(["channels"] if self.channels else []), *numbers, *(["float16"] if self.half else [])])

    @property
    def sums_channels(self) -> bool:
        """True if the channels are added up."""
        return self.channels or self.grid is not None

    @property
    def keeps_shape(self) -> bool:
        """True if the result has the shape of the input."""
        return not self.sums_channels and self.top is None


def edges_of_cells(size: int, count: int) -> list[int]:
    """List where each of `count` cells along an axis begins, and where the last one ends; a cell is empty if the axis
    is shorter than their number."""
    return [index * size // count for index in range(count + 1)]


def named_reduction(text: str) -> tuple[str, str]:
    """Split `image=grid=14` from the command line into the input's name, "" where it has none, and the reduction."""
    match = _NAMED.fullmatch(text)
    if match is not None:
        return match["name"] or "", match["text"]
    name, _, rest = text.partition("=")
    return ("", text) if name in _WORDS or not rest else (name, rest)


def _read(part: str, text: str) -> tuple[str, int | None]:
    """Read one part: its word, and its number if it takes one."""
    word, equals, number = part.partition("=")
    if word not in _WORDS:
        raise InputError(f"{text!r:.80} is no reduction of relevance{did_you_mean(word, _WORDS)}: it is {_EXAMPLE}")
    if word not in _NUMBERED:
        if equals:
            raise InputError(f"{word!r} takes no number in the reduction {text!r:.80}")
        return word, None
    if not re.fullmatch(r"0*[1-9]\d{0,8}", number, re.ASCII):
        raise InputError(f"{word!r} takes a whole number from 1 on, as in '{word}=10', not {text!r:.80}")
    return word, int(number)
