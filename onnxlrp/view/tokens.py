"""Pieces of a text with their relevance, as they are shown: tokens or whole words."""

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
    """Space between the piece and the one before it; empty within a word."""
    marked: bool = False
    """True if the explained score is at this token."""


def pieces(
    tokens: Tokens, relevance: np.ndarray, words: bool = False, position: int | None = None
) -> tuple[Piece, ...]:
    """Cut a text into pieces in order, each with its relevance; padding is left out.

    Tokens that share a character (bytes of one letter) form one piece; with `words`, so do all tokens of a word. The
    relevance of a piece is the sum over its tokens.
    """
    parts: list[_Part] = []
    for index in np.flatnonzero(tokens.used):
        part = _part(tokens, int(index), float(relevance[index]), index == position)
        if parts and _one(tokens.text, parts[-1], part, words):
            parts[-1].join(part)
        else:
            parts.append(part)
    result: list[Piece] = []
    end = 0
    for part in parts:
        name, gap = part.name, " "
        if part.end:
            name = tokens.text[part.start : part.end]
            gap = "" if end == part.start else " "
        # There is no gap between pieces that adjoin in the text; special tokens stand apart.
        result.append(Piece(" ".join(name.split()) or name, part.relevance, gap if result else "", part.marked))
        end = part.end or -1
    return tuple(result)


@dataclasses.dataclass
class _Part:
    """A piece under construction; `end` is 0 if it stands for no characters."""

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
        while start < end and tokens.text[start].isspace():  # some tokens include the blank before a word
            start += 1
        part.start, part.end, part.word = (start, end, tokens.words[index]) if start < end else (0, 0, None)
    return part


def _one(text: str, before: _Part, part: _Part, words: bool) -> bool:
    """Decide whether a token belongs to the piece before it."""
    if not before.end or not part.end:
        return False
    if part.start < before.end:
        return True
    same = before.word is not None and before.word == part.word
    return words and same and not any(map(str.isspace, text[before.end : part.start]))


def limit_of_texts(texts: Sequence[Sequence[Piece]]) -> float:
    """Return the |relevance| to show in full colour: the largest, never 0."""
    return (
        max((abs(piece.relevance) for text in texts for piece in text if np.isfinite(piece.relevance)), default=0) or 1
    )
