"""Summary of an explanation in a few words and numbers, per sample."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import is_cut, laid_out
from onnxlrp.runtime.text import Tokens
from onnxlrp.view.tokens import Piece, pieces

_ROUNDED = 1e-5
"""Largest relative difference of a score from itself in another type."""


@dataclasses.dataclass(frozen=True)
class Feature:
    """An entry of an input and its relevance."""

    input: str
    name: str
    value: float | str
    relevance: float


@dataclasses.dataclass(frozen=True)
class Sample:
    """Summary of one sample and target; K targets give K summaries of the same index."""

    index: int
    target: int | tuple[int, ...] | None
    """Class, or the indices of an element of the output; None if nothing was chosen."""
    label: str
    score: float | None
    relevance: dict[str, float]
    """Sum of relevance per explained input."""
    features: tuple[Feature, ...] = ()
    """Most relevant entries, for inputs that are tables or sequences of ids."""
    position: int | None = None
    """Position of the explained score in the text, for a token target."""
    base_value: float | None = None
    """Number that relevance is counted from; None for a model without one."""
    raw_score: float | None = None
    """Score that base value and relevance add up to: the margin where a final sigmoid or softmax was skipped."""
    texts: dict[str, tuple[Piece, ...]] = dataclasses.field(default_factory=dict)
    """Tokens or words with their relevance, for each input that is text."""
    ids: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Identifiers of the sample, by a name for them."""
    is_cut: bool = False
    """True if only the largest relevance was kept, so that sums of it are no totals."""

    @property
    def adds_up_to(self) -> str:
        """Name for the number that base value and relevance add up to; empty without a base value, or if only the
        largest relevance was kept."""
        if self.base_value is None or self.raw_score is None or self.is_cut:
            return ""
        same = self.score is not None and abs(self.score - self.raw_score) <= _ROUNDED * abs(self.raw_score)
        return "score" if same else "raw score"

    @property
    def rest(self) -> float:
        """Sum of the relevance that is not among the most relevant entries."""
        return sum(self.relevance.values()) - sum(feature.relevance for feature in self.features)


def summarise(
    explanation: Explanation,
    inputs: Mapping[str, Any],
    labels: Sequence[str] = (),
    top: int = 10,
    words: bool = False,
    most: int | None = None,
) -> list[Sample]:
    """Summarise an explanation, one entry per sample and target.

    `labels` are the names of the classes; `words` shows texts by word, not by token; `most` is the number of samples to
    summarise, None for all.
    """
    cut, explanation = is_cut(explanation.interface), laid_out(explanation)
    target, score = explanation.target, explanation.score
    chooses = score if score is not None else target
    many = chooses is not None and chooses.ndim == 2
    samples = _samples(explanation)
    entries = []
    for index in range(samples if most is None else min(most, samples)):
        for k in range(chooses.shape[1]) if chooses is not None and many else (None,):
            place = (index,) if k is None else (index, k)
            chosen = None if target is None else _plain(target[place])
            relevance = {}
            for name, values in explanation.relevance.items():
                part = _part(values, samples, place)
                if part is not None:
                    relevance[name] = part
            position = None if explanation.position is None else int(explanation.position[index])
            texts = _texts(relevance, explanation.tokens, index, words, position)
            entries.append(
                Sample(
                    index=index,
                    target=chosen,
                    label=labels[chosen] if isinstance(chosen, int) and 0 <= chosen < len(labels) else "",
                    score=None if score is None else float(score[place]),
                    relevance={name: float(part.sum(dtype=np.float64)) for name, part in relevance.items()},
                    features=_features(relevance, inputs, explanation.columns, texts, index, samples, top),
                    position=position,
                    base_value=_number(explanation.base_value, place),
                    raw_score=_number(explanation.raw_score, place),
                    texts=texts,
                    is_cut=cut,
                    ids={name: _identifier(values[index]) for name, values in explanation.ids.items()},
                )
            )
    return entries


def has_one_score(explanation: Explanation) -> bool:
    """Decide whether the model gives one score a sample, so that there is no class to name."""
    legend, interface = explanation.legend, explanation.interface
    output = (legend.explained_output if legend is not None else "") or (interface.output if interface else "")
    value = explanation.outputs.get(output)
    samples = _samples(explanation)
    return isinstance(value, np.ndarray) and value.ndim > 0 and value.size == len(value) == samples


def target_words(target: int | tuple[int, ...] | None) -> tuple[str, str]:
    """Name the kind of a target and the target: ("class", "3"), ("element", "3, 17"), or ("class", "-") for None."""
    if isinstance(target, tuple):
        return "element", ", ".join(map(str, target))
    return "class", "-" if target is None else str(target)


def _plain(target: np.ndarray) -> int | tuple[int, ...]:
    """Convert one sample's target to a class, or to the indices of an element."""
    return int(target) if target.ndim == 0 else tuple(int(index) for index in target)


def _identifier(value: Any) -> Any:
    """Convert an identifier to a type that JSON has: a number, or text."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (str, int, float)) else str(value)


def _number(values: np.ndarray | None, place: tuple[int, ...]) -> float | None:
    """Read the number of one sample and target; None if there are none."""
    return None if values is None else float(values[place])


def _samples(explanation: Explanation) -> int:
    if explanation.target is not None:
        return len(explanation.target)
    first = next(iter(explanation.relevance.values()), None)
    return 1 if first is None or first.ndim == 0 else len(first)


def _part(values: np.ndarray, samples: int, place: tuple[int, ...]) -> np.ndarray | None:
    """Take one sample's part of an array; None if its first axis does not count samples."""
    if values.ndim >= len(place) and values.shape[0] == samples:
        return values[place]
    if samples == 1 and len(place) == 1:
        return values
    return values[:, place[1]] if samples == 1 and values.ndim > 1 else None


def _texts(
    relevance: Mapping[str, np.ndarray],
    tokens: Mapping[str, Sequence[Tokens]],
    index: int,
    words: bool,
    position: int | None,
) -> dict[str, tuple[Piece, ...]]:
    """Collect one sample's texts; a single text for several samples belongs to each of them."""
    texts: dict[str, tuple[Piece, ...]] = {}
    for name, rows in tokens.items():
        if name in relevance and rows:
            row = rows[index if len(rows) > 1 else 0]
            texts[name] = pieces(row, relevance[name].reshape(-1), words, position if not texts else None)
    return texts


def _features(
    relevance: Mapping[str, np.ndarray],
    inputs: Mapping[str, Any],
    columns: Mapping[str, Sequence[str]],
    texts: Mapping[str, Sequence[Piece]],
    index: int,
    samples: int,
    top: int,
) -> tuple[Feature, ...]:
    """Pick the `top` entries by |relevance| over all inputs that hold one number per feature."""
    entries = []
    for name, part in relevance.items():
        if name in texts:
            entries += [Feature(name, str(n), piece.text, piece.relevance) for n, piece in enumerate(texts[name])]
            continue
        if part.ndim > 1:
            continue
        flat = part.reshape(-1)
        values = _part(np.asarray(inputs[name]), samples, (index,)) if name in inputs else None
        values = values if values is not None and values.size == flat.size else None
        names = list(columns.get(name, ()))
        if len(names) != flat.size:
            names = [name] if flat.size == 1 else [str(number) for number in range(flat.size)]
        for number, amount in enumerate(flat):
            value: Any = "" if values is None else np.asarray(values).reshape(-1)[number]
            entries.append(
                Feature(name, names[number], value if isinstance(value, str) else float(value), float(amount))
            )
    return tuple(sorted(entries, key=_unlike_zero, reverse=True)[:top])


def _unlike_zero(feature: Feature) -> float:
    """Order features by |relevance|, those of NaN first."""
    return math.inf if math.isnan(feature.relevance) else abs(feature.relevance)
