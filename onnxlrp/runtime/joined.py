"""Explanations of several batches as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.interface import INNER
from onnxlrp.runtime.circumstances import Circumstances
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.ledger_table import Ledger

_PER_SAMPLE = ("target", "score", "position", "interactions", "base_value", "raw_score")


def join(parts: Sequence[Explanation]) -> Explanation:
    """Join explanations of one model along the samples. The ledgers, which are sums over samples, add up."""
    first = parts[0]
    if len(parts) == 1:
        return first
    changed: dict[str, Any] = {name: _joined([getattr(part, name) for part in parts]) for name in _PER_SAMPLE}
    for name in ("relevance", "relevance_indices", "outputs", "inputs", "ids", "tokens", "originals", *INNER):
        changed[name] = _by_name([getattr(part, name) for part in parts])
    if first.ledger is not None:
        values = np.sum([part.ledger.values for part in parts if part.ledger is not None], axis=0)
        changed["ledger"] = Ledger(first.ledger.names, values, first.ledger.marked)
    changed["circumstances"] = _joined_circumstances([part.circumstances for part in parts])
    return dataclasses.replace(first, **changed)


def _joined_circumstances(parts: Sequence[Circumstances | None]) -> Circumstances | None:
    """Join what is known of the calls: the files that any of them read, and what was asked of all samples."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    names = dict.fromkeys(name for part in known for name in part.files)
    files = {name: tuple(dict.fromkeys(f for part in known for f in part.files.get(name, ()))) for name in names}
    asked = {
        name: np.concatenate([np.asarray(part.asked[name]) for part in known]) if name in known[0].varying else value
        for name, value in known[0].asked.items()
    }
    return dataclasses.replace(known[0], files=files, asked=asked, samples=None)


def _by_name(parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    if not parts[0]:
        return parts[0]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _joined(values: Sequence[Any]) -> Any:
    """Join values of batches: arrays along axis 0, lists one after the other; a single number is the first's."""
    if values[0] is None:
        return None
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values) if values[0].ndim else values[0]
    return [one for value in values for one in value]
