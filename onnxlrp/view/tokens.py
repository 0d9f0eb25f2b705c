"""Text by its relevance: the tokens of a text, or its words, as they are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxlrp.runtime.text import Tokens


@dataclasses.dataclass(frozen=True)
class Piece:
    """A stretch of text and its relevance."""

    text: str
    relevance: float
    gap: str = " "
    """What stands before it: nothing within a word."""
    marked: bool = False
    """Whether the explained score is at this token."""


def pieces(
    tokens: Tokens, relevance: np.ndarray, words: bool = False, position: int | None = None
) -> tuple[Piece, ...]:
    """The text in order, each piece with its relevance; padding is left out.

    Tokens that share a character (bytes of one letter) are one piece, with `words` all of a word: relevance adds up.
    """
    parts: list[_Part] = []
    for index in np.flatnonzero(tokens.used):
        part = _part(tokens, int(index), float(relevance[index]), index == position)
        if parts and _one(tokens.text, parts[-1], part, words):
            parts[-1].join(part)
        else:
            parts.append(part)
    found: list[Piece] = []
    end = 0
    for part in parts:
        name, gap = part.name, " "
        if part.end:
            name = tokens.text[part.start : part.end]
            gap = "" if end == part.start else " "
        # Where two adjoin in the text, none stands between; special tokens stand apart.
        found.append(Piece(" ".join(name.split()) or name, part.relevance, gap if found else "", part.marked))
        end = part.end or -1
    return tuple(found)


@dataclasses.dataclass
class _Part:
    """A piece in the making; `end` is 0 where it stands for no characters."""

    name: str
    relevance: float
    marked: bool
    start: int = 0
    end: int = 0
    word: int | None = None

    def join(self, other: _Part) -> None:
        self.relevance += other.relevance
        self.marked = self.marked or other.marked
        self.end = max(self.end, other.end)


def _part(tokens: Tokens, index: int, relevance: float, marked: bool) -> _Part:
    part = _Part(tokens.names[index], relevance, marked)
    if tokens.spans:
        start, end = tokens.spans[index]
        while start < end and tokens.text[start].isspace():  # the blank before a word is part of some tokens
            start += 1
        part.start, part.end, part.word = (start, end, tokens.words[index]) if start < end else (0, 0, None)
    return part


def _one(text: str, before: _Part, part: _Part, words: bool) -> bool:
    """Whether a token belongs to the piece before it."""
    if not before.end or not part.end:
        return False
    if part.start < before.end:
        return True
    same = before.word is not None and before.word == part.word
    return words and same and not any(map(str.isspace, text[before.end : part.start]))


def limit_of_texts(texts: Sequence[Sequence[Piece]]) -> float:
    """The |relevance| that is shown in full colour: the largest, never 0."""
    return (
        max((abs(piece.relevance) for text in texts for piece in text if np.isfinite(piece.relevance)), default=0) or 1
    )
