"""Inputs of an explained model, read and checked, as its session takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from onnxlrp.file_hashes import FileMark
from onnxlrp.reprs import Brief
from onnxlrp.runtime import text


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared(Brief):
    """Arrays that a session takes, and the tokens of texts."""

    feeds: dict[str, Any]
    tokens: dict[str, list[text.Tokens]]
    columns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    ids: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    """Identifiers of the samples by a name for them."""
    pixels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Scale of the pixels of each input that was read from pictures."""
    originals: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of inputs as the caller gave them, where they say more than an array: paths and pictures, as lists, and
    labelled arrays."""
    files: Mapping[str, tuple[FileMark, ...]] = dataclasses.field(default_factory=dict)
    """Files that the arrays were read from, by input."""
    references: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arrays that the samples are compared with, by the explained input."""
    masks: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Masks of channels, [1, channels] or [N, channels], by the inner value."""
