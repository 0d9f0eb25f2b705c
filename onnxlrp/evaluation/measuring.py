"""Measuring: every measure of every explanation, on one set of samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from onnxlrp.errors import OnnxLrpError
from onnxlrp.evaluation.area import area_between, deletion, insertion
from onnxlrp.evaluation.complexity import entropy
from onnxlrp.evaluation.conservation_shares import ConservationShares
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.evaluation.explanation_methods import ExplanationMethod, Relevance
from onnxlrp.evaluation.leave_one_out import leave_one_out, linear_correlation, rank_correlation
from onnxlrp.evaluation.localisation import covered_share, share_inside
from onnxlrp.evaluation.perturbation import Curves, curves
from onnxlrp.evaluation.removal import Removal
from onnxlrp.evaluation.sanity import Sanity, sanity
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.evaluation.stability import relative_change

_FEW = 10
"""Number of samples below which a bootstrap interval is too narrow."""


@dataclasses.dataclass(eq=False)
class Measuring:
    """Measures explanations one after the other, and collects the values."""

    data: EvaluatedData
    removal: Removal
    score: ScoreModel
    asked: Sequence[str]
    """Names of `measures.GROUPS`."""
    steps: int
    seed: int
    masks: Mapping[str, np.ndarray] | None
    advance: Callable[[int], None]
    """Function that is told how many samples were explained."""
    notes: list[str] = dataclasses.field(default_factory=list)
    relevance: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    curves: dict[str, Curves] = dataclasses.field(default_factory=dict)
    values: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)
    conservation: dict[str, ConservationShares] = dataclasses.field(default_factory=dict)
    sanity: dict[str, Sanity] = dataclasses.field(default_factory=dict)
    _drops: np.ndarray | None = None

    def measure(self, method: ExplanationMethod, *, may_fail: bool = False, may_repeat: bool = True) -> None:
        """Explain by a method, and measure the explanations.

        `may_fail` leaves the method out, with a note, if the model does not allow it; without `may_repeat` the method
        is left out if another one gave the same relevance.
        """
        try:
            relevance = method.explain()
        except OnnxLrpError as error:
            if not may_fail:
                raise
            self.notes.append(f"{method.name} was left out: {str(error).splitlines()[0]}")
            return
        self.advance(self.data.count)
        by_unit = self.removal.units.sums(relevance)
        if not may_repeat and (twin := self._twin(by_unit)):
            self.notes.append(f"{method.name} was left out: on this model it gives the relevance of {twin}")
            return
        by_unit = self.measure_units(method.name, by_unit, relevance)
        if "conservation" in self.asked and method.conservation is not None:
            self.conservation[method.name] = method.conservation
        if method.explains_anew:
            self._explain_anew(method, by_unit)

    def measure_random(self) -> None:
        """Measure a random order of the units."""
        present = self.removal.units.present
        order = np.random.default_rng(self.seed).random(present.shape)
        self.measure_units("random", np.where(present, order, 0), None)

    def measure_occlusion(self) -> None:
        """Measure leave-one-out itself as an explanation."""
        self.measure_units("occlusion", self._left_out(), None)

    def result(self, baseline: str, confidence: float) -> Evaluation:
        """Return everything that was measured; `baseline` says in words what takes the place of removed units."""
        units = self.removal.units
        return Evaluation(
            score=self.score.name,
            samples=self.data.count,
            units=units.text,
            unit_count=units.count,
            baseline=baseline,
            steps=self.steps,
            confidence=confidence,
            seed=self.seed,
            values=self.values,
            curves=self.curves,
            conservation=self.conservation,
            sanity=self.sanity,
            relevance=self.relevance,
            notes=tuple(self._every_note()),
        )

    def _every_note(self) -> Iterator[str]:
        """Yield sentences about what is unusual."""
        yield from self.notes
        if self.data.count < _FEW:
            yield f"{self.data.count} samples are few: intervals of fewer than {_FEW} are too narrow"
        if self.masks is not None:
            share = float(covered_share(self.masks, self.data).mean())
            yield f"the masks cover {share:.1%} of the inputs: an even spread of relevance has that share inside"
        for name, found in self.sanity.items():
            if not found.depends_on_weights:
                yield (
                    f"{name} hardly changes as all weights are shuffled (rank correlation {found.similarity[-1]:.2f}): "
                    "it shows little of what the model has learned"
                )

    def _explain_anew(self, method: ExplanationMethod, by_unit: np.ndarray) -> None:
        """Measure what needs explanations of other inputs and other weights."""
        units = self.removal.units
        if "stability" in self.asked:
            self._note("instability", method.name, relative_change(method, by_unit, self.data, units, self.seed))
        if "sanity" in self.asked:
            found = sanity(method, by_unit, self.score.proto, units, self.seed)
            if found is not None:
                self.sanity[method.name] = found

    def measure_units(self, name: str, by_unit: np.ndarray, relevance: Relevance | None) -> np.ndarray:
        """Compute what depends on the relevance alone, and return that of the units with 0 for NaN.

        `relevance` holds that of the elements, None where only that of the units is known.
        """
        by_unit = self.relevance[name] = self._finite(name, by_unit)
        present = self.removal.units.present
        if "perturbation" in self.asked:
            found = self.curves[name] = curves(self.removal, by_unit, self.steps)
            for measure, compute in (("area", area_between), ("deletion", deletion), ("insertion", insertion)):
                self._note(measure, name, compute(found))
        if "leave_one_out" in self.asked:
            drops = self._left_out()
            self._note("rank_agreement", name, rank_correlation(by_unit, drops, present))
            self._note("linear_agreement", name, linear_correlation(by_unit, drops, present))
        if "complexity" in self.asked:
            self._note("complexity", name, entropy(by_unit, present))
        if "localisation" in self.asked and self.masks is not None:
            elements = self.removal.units.spread(by_unit) if relevance is None else relevance
            whole = {key: np.broadcast_to(elements[key], self.data.feeds[key].shape) for key in self.masks}
            self._note("localisation", name, share_inside(whole, self.masks))
        return by_unit

    def _twin(self, by_unit: np.ndarray) -> str | None:
        """Name an explanation that has the same relevance already, within rounding."""
        size = float(np.abs(by_unit).max(initial=0))
        same = (name for name, known in self.relevance.items() if np.allclose(known, by_unit, rtol=0, atol=1e-5 * size))
        return next(same, None)

    def _finite(self, name: str, by_unit: np.ndarray) -> np.ndarray:
        bad = ~np.isfinite(by_unit).all(axis=1) | ~by_unit.any(axis=1)
        if bad.any():
            self.notes.append(f"the relevance of {name} is 0 everywhere, or no number, for {int(bad.sum())} samples")
        return np.nan_to_num(by_unit, nan=0, posinf=0, neginf=0)

    def _left_out(self) -> np.ndarray:
        if self._drops is None:
            self._drops = leave_one_out(self.removal)
        return self._drops

    def _note(self, measure: str, name: str, values: np.ndarray) -> None:
        self.values.setdefault(measure, {})[name] = values
