"""Circumstances of an explanation: everything besides its numbers that a record of it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from onnxlrp.file_hashes import FileMark
from onnxlrp.reprs import Brief
from onnxlrp.runtime.reading import ModelFile
from onnxlrp.runtime.text import Tokenizer


@dataclasses.dataclass(frozen=True, eq=False)
class Circumstances(Brief):
    """The model that computed an explanation, where and how it ran, and what it was asked."""

    model: ModelFile
    providers: tuple[str, ...]
    """Execution providers in use, in order of preference."""
    asked: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Target, position and weights of the call, as far as they were given."""
    files: Mapping[str, tuple[FileMark, ...]] = dataclasses.field(default_factory=dict)
    """Files that the inputs were read from, by input."""
    references: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arrays that the samples were compared with, by the explained input."""
    tokenizer: Tokenizer | None = None
    """Tokenizer that cut texts; None without texts."""
    batch_size: int | None = None
    """Number of samples in a batch of `Explainer.map`; None for a single call."""
    samples: tuple[int, int] | None = None
    """Range of the samples among those of the whole run, for one batch of it."""
    written: str | None = None
    """Date and time for the record, such as 2026-11-30T12:00:00Z; None leaves them out."""
    varying: frozenset[str] = frozenset()
    """Names in `asked` of which the batches of a run have parts of their own."""
    masks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Masks of the channels that relevance passed, by the inner value."""
