"""Successive halving: many candidates on few samples, the better half of them on more."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from onnxlrp.errors import OnnxLrpError
from onnxlrp.evaluation.area import area_between
from onnxlrp.evaluation.candidates import Candidate
from onnxlrp.evaluation.perturbation import curves
from onnxlrp.evaluation.removal import Advance, Removal
from onnxlrp.evaluation.subject import Subject

KEPT = 3
"""Number of candidates that a stage hands to the next."""
_FIRST = 8
"""Least number of samples in the first rung."""
_SAME = 1e-6
"""Relative difference below which two areas are equal."""


@dataclasses.dataclass(eq=False)
class Trial:
    """A candidate with its areas."""

    candidate: Candidate
    stage: str
    areas: np.ndarray
    """Area of each sample; NaN for those that were not needed."""
    by_unit: np.ndarray | None
    """Relevance of the units, as long as it is needed."""

    def mean(self, samples: int) -> float:
        """Compute the mean area over the first samples."""
        return float(self.areas[:samples].mean())

    @property
    def samples(self) -> int:
        """Number of samples that it was measured on."""
        return int((~np.isnan(self.areas)).sum())


class Halving:
    """Measures candidates on the samples of one subject, which all see in the same order."""

    def __init__(self, subject: Subject, steps: int, budget: int, advance: Advance) -> None:
        """Take the samples in their order of use; `budget` is the most candidates to explain."""
        self.subject, self.steps = subject, min(steps, subject.units.count)
        self.trials: list[Trial] = []
        self.notes: list[str] = []
        self.left = budget
        self._removal: Removal = subject.removal(advance)
        self._advance = advance
        self._known: dict[Hashable, str] = {}

    def admit(self, candidates: Iterable[Candidate], stage: str, most: int) -> list[Trial]:
        """Explain the samples by each new candidate, at most so many; those that explain like an earlier one do not
        count."""
        admitted: list[Trial] = []
        for candidate in candidates:
            if len(admitted) >= most or self.left < 1:
                break
            signature = candidate.signature
            if signature in self._known:
                if not candidate.choices:
                    twin = self._known[signature]
                    self.notes.append(f"{candidate.name} was left out: on this model it explains like {twin}")
                continue
            self._known[signature] = candidate.name
            self.left -= 1
            trial = self._explained(candidate, stage)
            if trial is not None:
                admitted.append(trial)
        self.trials += admitted
        return admitted

    def best(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return the best trials, the best first; of equals the one that was admitted first."""
        pool = list(trials)
        for samples in self._rungs():
            for trial in pool:
                self._measure(trial, samples)
            ranked = sorted(pool, key=lambda trial, samples=samples: -trial.mean(samples))  # type: ignore[misc]
            ranked = _equals_by_age(ranked, samples, self.trials)
            is_last = samples == self.subject.data.count
            pool = ranked[: KEPT if is_last else max(KEPT, -(-len(ranked) // 2))]
            for dropped in ranked[len(pool) :]:
                dropped.by_unit = None
        return pool

    def _rungs(self) -> list[int]:
        """List the numbers of samples of the rungs: doubling from an eighth of all."""
        count = self.subject.data.count
        found = [min(count, max(_FIRST, count // 8))]
        while found[-1] < count:
            found.append(min(count, 2 * found[-1]))
        return found

    def _explained(self, candidate: Candidate, stage: str) -> Trial | None:
        count = self.subject.data.count
        try:
            method = self.subject.by_composite(candidate.name, candidate.composite(), ledger=False)
            by_unit = self.subject.units.sums(method.explain())
        except OnnxLrpError as error:
            self.notes.append(f"{candidate.name} was left out: {str(error).splitlines()[0]}")
            return None
        self._advance(count)
        by_unit = np.nan_to_num(by_unit, nan=0, posinf=0, neginf=0)
        return Trial(candidate, stage, np.full(count, np.nan), by_unit)

    def _measure(self, trial: Trial, samples: int) -> None:
        """Measure a trial on the first samples, as far as that was not done."""
        rows = np.arange(trial.samples, samples)
        if len(rows) and trial.by_unit is not None:
            found = curves(self._removal, trial.by_unit[rows], self.steps, rows)
            trial.areas[rows] = area_between(found)


def _equals_by_age(ranked: list[Trial], samples: int, order: Sequence[Trial]) -> list[Trial]:
    """Put the oldest of the trials that equal the best first."""
    best = ranked[0].mean(samples)
    equal = [trial for trial in ranked if best - trial.mean(samples) <= _SAME * abs(best)]
    return [*sorted(equal, key=order.index), *(trial for trial in ranked if trial not in equal)]
