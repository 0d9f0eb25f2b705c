"""Verdict on one row: compares what two states emitted for the same model and options."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

import numpy as np

SAME, REWIRED, OPERATORS, VALUES, REFUSAL = (
    "equal",
    "wired otherwise",
    "operators differ",
    "relevance differs",
    "refusal",
)
FAULTS = (OPERATORS, VALUES, REFUSAL)


@dataclasses.dataclass(frozen=True)
class Record:
    """Result of one state for a row."""

    refused: str = ""
    """Class of the error if the model was refused, with the message of a crash."""
    digest: str = ""
    relevance: Counter[str] = dataclasses.field(default_factory=Counter)
    """Operators of the relevance part."""
    whole: Counter[str] = dataclasses.field(default_factory=Counter)
    untapped: Counter[str] = dataclasses.field(default_factory=Counter)
    """Operators of the relevance part without the nodes that only the ledger needs."""
    arrays: Mapping[str, np.ndarray] | None = None
    """Outputs by name; None if the model was not run."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Result of comparing the records of a row."""

    kinds: tuple[str, ...]
    lines: tuple[str, ...] = ()
    """Operators that came (+) or went (-), and the largest gap."""

    @property
    def fault(self) -> bool:
        return any(kind in FAULTS for kind in self.kinds)


def judge(old: Record, new: Record, tolerance: float) -> Verdict:
    """Compare two records; outputs may differ by `tolerance` times the largest entry of each."""
    if old.refused or new.refused:
        same = old.refused == new.refused
        return Verdict((SAME,) if same else (REFUSAL,), () if same else (f"- {old.refused}", f"+ {new.refused}"))
    if old.digest == new.digest:
        return Verdict((SAME,))
    kinds, lines = [], []
    if changes := difference(old.relevance, new.relevance):
        lines += changes
    elif changes := difference(old.whole, new.whole):
        lines += ["(not in the relevance part)", *changes]
    kinds += [OPERATORS] if lines else []
    if old.arrays is not None and new.arrays is not None:
        name, largest = gap(old.arrays, new.arrays)
        kinds += [VALUES] if not largest <= tolerance else []
        lines.append(f"largest gap {largest:.1e} at {name!r}, tolerance {tolerance:.0e}")
    return Verdict(tuple(kinds) or (REWIRED,), tuple(lines))


def difference(old: Counter[str], new: Counter[str]) -> list[str]:
    """List the operators that went and came, as lines."""
    went = [f"- {count} × {text}" for text, count in sorted((old - new).items())]
    return went + [f"+ {count} × {text}" for text, count in sorted((new - old).items())]


def gap(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """Find the output that moved most, and by how much of its largest entry; infinite if it is missing or misshapen."""
    gaps = {name: _gap(old.get(name), new.get(name)) for name in sorted({*old, *new})}
    name = max(gaps, key=gaps.__getitem__)
    return name, gaps[name]


def _gap(a: np.ndarray | None, b: np.ndarray | None) -> float:
    if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if a.dtype.kind not in "fiub" or not a.size:
        return 0.0 if np.array_equal(a, b) else float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    unlike = ~(np.isfinite(a) & np.isfinite(b))
    if not np.array_equal(a[unlike], b[unlike], equal_nan=True):
        return float("inf")
    distance = float(np.abs(a - b, where=~unlike, out=np.zeros_like(a)).max())
    return distance / (float(np.abs(a[~unlike]).max(initial=0.0)) or 1.0)
