"""Reason codes: the features that spoke most for or against the explained class, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import laid_out
from onnxlrp.view.explanation_table import counts, flat, is_wide, parts_of, wide_names
from onnxlrp.view.number_words import significant, value_words

_ROUNDED = 1e-5
"""Largest relative difference of a score from itself in another type."""

_NOISE = 1e-6
"""Part of all absolute relevance up to which a feature's own is rounding, and no reason."""


@dataclasses.dataclass(frozen=True)
class Reason:
    """A feature of one sample that spoke for or against the explained class; as text it is a clause of a sentence."""

    column: str
    """Name of the feature; the token itself for a text."""
    value: Any
    """Value of the feature as the model took it; None if it is not known."""
    relevance: float
    """Relevance of the feature: its part of the explained score."""
    share: float
    """Part of this feature in the sum of all features' absolute relevance, 0 to 1."""
    text: str
    """Words, such as `age = 52 raised the score by 0.31`."""

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<Reason: {escaped(self.text)[:200]}, {self.share:.0%} of all>"


def reasons_of(explanation: Explanation, top: int, against: bool) -> list[tuple[Reason, ...]]:
    """List the reasons of each sample and target; see `Explanation.reasons`."""
    if isinstance(top, bool) or not isinstance(top, (int, np.integer)) or top < 1:
        raise InputError(f"top is the number of reasons, a whole number from 1 on, not {top!r:.80}")
    score = _score_word(explanation)
    explanation = laid_out(explanation)
    found = []
    for names, values, relevance in _rows(explanation):
        signed = -relevance if against else relevance
        size = float(np.abs(relevance).sum()) or 1.0
        order = [int(index) for index in np.argsort(-signed, kind="stable")[:top] if signed[index] > _NOISE * size]
        found.append(tuple(_reason(names[i], values[i], float(relevance[i]), size, score) for i in order))
    return found


def _reason(name: str, value: Any, relevance: float, size: float, score: str) -> Reason:
    shown = name if value is _UNKNOWN else f"{name} = {value_words(value)}"
    verb = "raised" if relevance > 0 else "lowered"
    amount, sign = significant(abs(relevance), 3), "+" if relevance > 0 else "-"
    text = f"{shown} {verb} {score} by {amount}" if score else f"{shown} has relevance {sign}{amount}"
    return Reason(name, None if value is _UNKNOWN else value, relevance, abs(relevance) / size, text)


_UNKNOWN = object()
"""Stands for the value of a feature that has none to show: one that is not known, and a token."""
_Row = tuple[Sequence[str], Sequence[Any], np.ndarray]


def _rows(explanation: Explanation) -> list[_Row]:
    """List for each sample and target the names, values and relevance of its features."""
    if is_wide(explanation):
        return _of_features(explanation)
    texts = [name for name in explanation.relevance if name in explanation.tokens]
    if len(texts) == len(explanation.relevance):
        return _of_tokens(explanation)
    shapes = ", ".join(f"{escaped(n)} {list(v.shape)}" for n, v in explanation.relevance.items())
    raise InputError(f"reasons are columns of a table or tokens of a text, but {shapes} are explained: use plot()")


def _of_features(explanation: Explanation) -> list[_Row]:
    parts = parts_of(explanation)
    blocks = {name: flat(part.relevance) for name, part in parts.items()}
    named = wide_names(explanation, {name: block.shape[1] for name, block in blocks.items()})
    names = [feature for one in named.values() for feature in one]
    joined = np.concatenate([block.astype(np.float64) for block in blocks.values()], axis=1)
    columns: list[list[Any]] = []
    for name, block in blocks.items():
        value = parts[name].value
        known = [[_UNKNOWN] * block.shape[1]] * len(block) if value is None else value.reshape(block.shape).tolist()
        columns = known if not columns else [a + b for a, b in zip(columns, known, strict=True)]
    return [(names, values, relevance) for values, relevance in zip(columns, joined, strict=True)]


def _of_tokens(explanation: Explanation) -> list[_Row]:
    samples, targets = counts(explanation)
    pick: Callable[[Sequence[Any], int], Any] = lambda rows, index: rows[index if len(rows) > 1 else 0]
    found: list[_Row] = []
    parts = parts_of(explanation)
    for row in range(samples * targets):
        names: list[str] = []
        amounts: list[float] = []
        for name, part in parts.items():
            tokens = pick(explanation.tokens[name], row // targets)
            kept = zip(tokens.names, part.relevance[row].reshape(-1).tolist(), tokens.used, strict=True)
            pairs = [(token, amount) for token, amount, used in kept if used]
            names += [token for token, _ in pairs]
            amounts += [amount for _, amount in pairs]
        found.append((names, [_UNKNOWN] * len(names), np.array(amounts, np.float64)))
    return found


def _score_word(explanation: Explanation) -> str:
    """Name what the relevance is a part of: the score, or the raw score where the two differ; empty for gradients and
    for shares of the score, which are parts of neither."""
    raw, score, interface = explanation.raw_score, explanation.score, explanation.interface
    if raw is None and interface is not None and (interface.seed == "gradient" or interface.initial == "one"):
        return ""
    if raw is None or score is None:
        return "the score" if interface is None or interface.score_is_output else "the raw score"
    return "the score" if np.allclose(raw, np.reshape(score, raw.shape), _ROUNDED, 0) else "the raw score"
