"""Comparison of a recorded explanation with a new one: target, scores, relevance, and the numbers in the file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from onnxlrp.array_hashes import ArraySummary
from onnxlrp.errors import OnnxLrpError
from onnxlrp.records.stored_numbers import Numbers, has_numbers, numbers_in, numbers_of
from onnxlrp.records.verification import Findings
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.record import Record
from onnxlrp.runtime.recorder import recorder_of

_TARGETS = ("target", "position")
_SCORES = ("score", "base_value", "raw_score")


@dataclasses.dataclass(frozen=True, eq=False)
class Comparing:
    """A record, the explainer of its model, and how much numbers may differ."""

    record: Record
    explainer: Explainer
    asked: float | None
    """Tolerance that the caller asked for."""
    usual: float
    """Tolerance for another version or provider."""
    exact: bool
    """True if numbers must be equal to the last bit, unless a tolerance is asked for."""

    @property
    def tolerance(self) -> float:
        """Largest difference of relevance, relative to the largest absolute relevance; 0 for equal bits."""
        return self.asked if self.asked is not None else 0.0 if self.exact else self.usual


def compare_run(
    comparing: Comparing, explanations: Sequence[Explanation], file: Path | None, findings: Findings, start: int = 0
) -> int:
    """Compare a new run with the record, and with the numbers in `file` if that is given, from row `start` on.

    Returns the number of the row after the last one that was compared.
    """
    here, record = recorder_of(*explanations).record(), comparing.record
    for name in _TARGETS:
        _same_target(name, getattr(record, name), getattr(here, name), findings)
    for name in _SCORES:
        recorded, again = getattr(record, name), getattr(here, name)
        if recorded is not None or again is not None:
            _same_numbers(name.replace("_", " "), recorded, again, comparing, findings)
    stored = _stored(comparing, file, findings)
    laid_out = numbers_of(explanations, file) if stored and file is not None else {}
    exact = {name: np.concatenate([np.ravel(one.relevance[name]) for one in explanations]) for name in here.relevance}
    for name in {**record.relevance, **here.relevance}:
        recorded, again = record.relevance.get(name), here.relevance.get(name)
        numbers = (None if start else stored.get(name), exact.get(name))
        _same_numbers(f"relevance of {name!r}", recorded, again, comparing, findings, numbers)
    for name in {**record.relevance_at, **here.relevance_at}:
        pair = (record.relevance_at.get(name), here.relevance_at.get(name))
        _same_numbers(f"relevance at {name!r}", *pair, comparing, findings)
    for name in {**record.outputs, **here.outputs}:
        _same_numbers(f"output {name!r}", record.outputs.get(name), here.outputs.get(name), comparing, findings)
    _same_ledger(record.ledger, here.ledger, comparing, findings)
    if not stored:
        return start
    end = start + max((len(one) for one in laid_out.values() if one.ndim), default=0)
    part = {name: one[start:end] if one.ndim else one for name, one in stored.items()}
    _same_file(part, laid_out, comparing, findings)
    return end


def _same_target(name: str, recorded: ArraySummary | None, here: ArraySummary | None, findings: Findings) -> None:
    if recorded is None and here is None:
        return
    same = recorded is not None and here is not None and recorded.sha256 == here.sha256 and _is_listed(recorded, here)
    shown = "none" if here is None else _listed(here)
    told = "none" if recorded is None else _listed(recorded)
    findings.compare(name, same, f"{shown}, as recorded", f"{shown} is explained, and the record says {told}")


def _is_listed(recorded: ArraySummary, here: ArraySummary) -> bool:
    return recorded.values is None or recorded.values == here.values


def _listed(summary: ArraySummary) -> str:
    if summary.values is None:
        return f"{summary.shape[0] if summary.shape else 1:,} of them"
    shown = ", ".join(map(str, summary.values[:5]))
    return shown + (" …" if len(summary.values) > 5 else "")


def _same_numbers(
    subject: str,
    recorded: ArraySummary | None,
    here: ArraySummary | None,
    comparing: Comparing,
    findings: Findings,
    numbers: tuple[np.ndarray | None, np.ndarray | None] = (None, None),
) -> None:
    """Compare an array by its hash, else by its numbers or their sums within the tolerance."""
    if recorded is None or here is None:
        findings.add(subject, "differs", "the record has none" if recorded is None else "there is none any more")
        return
    if (recorded.sha256, recorded.shape, recorded.dtype) == (here.sha256, here.shape, here.dtype):
        listed = _is_listed(recorded, here) and _close(recorded, here, 1e-12)
        no = "the numbers that the record lists are not those of its hash"
        findings.compare(subject, listed, "equal to the last bit", no)
        return
    if recorded.shape != here.shape or recorded.dtype != here.dtype:
        words = f"{here.dtype} {list(here.shape)} now, {recorded.dtype} {list(recorded.shape)} in the record"
        findings.add(subject, "differs", words)
        return
    allowed = comparing.tolerance
    found = _difference(*numbers) if all(one is not None for one in numbers) else _by_values(recorded, here)
    by = "by its largest difference" if found is not None else "by its sums"
    found = _of_sums(recorded, here) if found is None else found
    holds = allowed > 0 and found <= allowed
    words = f"{found:.1e} relative, {by}"
    more = "; --tolerance accepts that, where another processor rounds otherwise" if found <= comparing.usual else ""
    yes = f"within {allowed:.0e}: {words}"
    must = f"more than {allowed:.0e}" if allowed else "and it must be equal to the last bit here"
    findings.compare(subject, holds, yes, f"differs by {words}, {must}{more}")


def _by_values(recorded: ArraySummary, here: ArraySummary) -> float | None:
    if recorded.values is None or here.values is None or None in (*recorded.values, *here.values):
        return None
    return _difference(np.asarray(recorded.values), np.asarray(here.values))


def _difference(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """Find the largest difference of two arrays relative to the largest absolute number; infinity for other shapes."""
    first, second = np.ravel(np.asarray(one)), np.ravel(np.asarray(other))
    if first.shape != second.shape or not np.array_equal(np.isfinite(first), np.isfinite(second)):
        return float("inf")
    finite = np.isfinite(first)
    first, second = first[finite].astype(np.float64), second[finite].astype(np.float64)
    if not first.size:
        return 0.0
    largest = max(float(np.abs(second).max()), float(np.finfo(np.float64).tiny))
    return float(np.abs(first - second).max()) / largest


def _of_sums(recorded: ArraySummary, here: ArraySummary) -> float:
    """Find the larger difference of the two sums, relative to the sum of absolute numbers."""
    sums = (recorded.sum, recorded.absolute_sum, here.sum, here.absolute_sum)
    if any(one is None for one in sums):
        return float("inf")
    a, b, c, d = (float(one or 0) for one in sums)
    return max(abs(a - c), abs(b - d)) / max(d, float(np.finfo(np.float64).tiny))


def _close(recorded: ArraySummary, here: ArraySummary, allowed: float) -> bool:
    if recorded.sum is None and here.sum is None:
        return True
    return _of_sums(recorded, here) <= allowed


def _same_ledger(
    recorded: Mapping[str, float] | None, here: Mapping[str, float] | None, comparing: Comparing, findings: Findings
) -> None:
    if recorded is None and here is None:
        return
    if recorded is None or here is None or {*recorded} != {*here}:
        findings.add("ledger", "differs", "record and model do not both have one")
        return
    found = _difference(*(np.array([one[name] for name in here], dtype=np.float64) for one in (recorded, here)))
    allowed = max(comparing.tolerance, 1e-9)
    no = f"its totals differ by {found:.1e} relative, more than {allowed:.0e}"
    findings.compare("ledger", found <= allowed, "the same totals", no)


def _stored(comparing: Comparing, file: Path | None, findings: Findings) -> Numbers:
    """Read the numbers in the file; empty if it holds none, or cannot be read."""
    if file is None or not has_numbers(file):
        return {}
    try:
        return numbers_in(file, comparing.explainer.interface)
    except OnnxLrpError as error:
        findings.add("numbers in the file", "differs", str(error))
        return {}


def _same_file(stored: Numbers, laid_out: Numbers, comparing: Comparing, findings: Findings) -> None:
    """Compare the relevance that the file holds with that of the new run."""
    subject = "numbers in the file"
    if {*stored} != {*laid_out}:
        findings.add(subject, "differs", f"{len(stored)} columns of relevance, and a run gives {len(laid_out)}")
        return
    pairs = [(stored[name].astype(again.dtype), again) for name, again in laid_out.items()]
    found = max((_difference(*pair) for pair in pairs), default=0.0)
    allowed = comparing.tolerance
    no = f"they differ from those of the run by {found:.1e} relative, more than {allowed:.0e}"
    findings.compare(subject, found <= allowed, "they are those of the run", no)
