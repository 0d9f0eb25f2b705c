"""Audit of many explanations: which features matter, and whether that has changed since a baseline."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.records.mean_relevance import MeanRelevance, mean_relevance
from onnxlrp.records.ranking_drift import ordered_names, ranking_score

BOUND = 0.9
"""Score below which the ranking has drifted, the alarm of SageMaker Clarify."""


@dataclasses.dataclass(frozen=True)
class AuditedFeature:
    """A feature with its mean absolute relevance, now and in the baseline."""

    name: str
    mean_size: float
    """Mean absolute relevance."""
    rank: int
    """Place by it, from 1."""
    baseline_size: float | None = None
    """Mean absolute relevance in the baseline; None without a baseline, or for a feature that it lacks."""
    baseline_rank: int | None = None
    """Place in the baseline."""


@dataclasses.dataclass(frozen=True)
class Audit:
    """The ranking of features over many explanations, and its drift from a baseline.

    ```python
    from onnxlrp.records import audit

    explainer.map({"image": x}, to="audited")
    audit("audited").features[0].name  # the most relevant feature
    ```
    """

    features: tuple[AuditedFeature, ...]
    """Features by their mean absolute relevance, the largest first."""
    rows: int
    """Number of explanations."""
    baseline_rows: int = 0
    """Number of explanations in the baseline; 0 without one."""
    score: float | None = None
    """nDCG of the ranking on the attributions of the baseline; None without one."""
    bound: float = BOUND
    """Score below which the ranking has drifted."""
    notes: tuple[str, ...] = ()
    """Sentences about differences between the explanations that make their relevance hard to compare."""

    @property
    def drifted(self) -> bool:
        """True if the score is below the bound."""
        return self.score is not None and self.score < self.bound

    @property
    def verdict(self) -> str:
        """Finding in one sentence; empty without a baseline."""
        if self.score is None:
            return ""
        said = "has drifted: it is below the bound of" if self.drifted else "has not drifted: it is not below"
        return f"the ranking {said} {self.bound:g}, nDCG {self.score:.4f}"

    def to_json(self) -> dict[str, Any]:
        """Convert for a program that reads JSON."""
        return {**dataclasses.asdict(self), "drifted": self.drifted}

    def __str__(self) -> str:
        lines = [f"{one.rank:>4}  {one.mean_size:<12.5g}  {one.name}" for one in self.features]
        return "\n".join([*lines, *([self.verdict] if self.verdict else [])])

    def __repr__(self) -> str:
        drift = "" if self.score is None else f", nDCG {self.score:.3f}" + (" drifted" if self.drifted else "")
        return f"<Audit of {self.rows:,} explanations, {len(self.features)} features{drift}>"


def audit(
    results: str | os.PathLike[str], baseline: str | os.PathLike[str] | None = None, *, bound: float = BOUND
) -> Audit:
    """Rank features by their mean absolute relevance over many explanations, and compare with a baseline.

    The drift is the nDCG of the current ranking on the baseline's attributions, as Amazon SageMaker Clarify computes
    it: Σᵢ a(f′ᵢ)/log₂(i + 1) ÷ Σᵢ a(fᵢ)/log₂(i + 1), where f′ᵢ is the feature in place i now, fᵢ the one in place i of
    the baseline, and a the mean absolute relevance in the baseline (Amazon SageMaker Developer Guide, *Feature
    attribution drift for models in production*). 1 is the same ranking; below `bound` it has drifted.

    Parameters
    ----------
    results
        A folder that `Explainer.map` wrote, a file of many explanations (`.csv`, `.parquet`, `.npz`, `.json`), or a
        folder of such files. Features are columns, or the entries of an input, at most 10,000.
    baseline
        The same of a time to compare with, such as the training data. Default: none, only the ranking.
    bound
        The least score of a ranking that counts as the same, from 0 to 1. Default: 0.9.

    Returns
    -------
    Audit
        The features in their order, the score, and whether it is below the bound.

    Raises
    ------
    InputError
        There are no explanations, or they have no common features, or `bound` is no number from 0 to 1.

    Examples
    --------
    ```python
    from onnxlrp.records import audit

    explainer.map({"image": x}, to="january")
    explainer.map({"image": x}, to="february")
    audit("february", baseline="january").score  # 1.0
    ```
    """
    if not 0 <= bound <= 1:
        raise InputError(f"a bound of nDCG is a number from 0 to 1, not {bound!r:.40}")
    now = mean_relevance(Path(results))
    before = None if baseline is None else mean_relevance(Path(baseline))
    score = None
    if before is not None:
        if not {*now.means} & {*before.means}:
            raise InputError("results and baseline have no feature in common: are they of one model?")
        score = ranking_score(now.means, before.means)
    rows = 0 if before is None else before.rows
    return Audit(_features(now, before), now.rows, rows, score, float(bound), tuple(_notes(now, before)))


def _features(now: MeanRelevance, before: MeanRelevance | None) -> tuple[AuditedFeature, ...]:
    means, old = now.means, {} if before is None else before.means
    ranks = {name: place for place, name in enumerate(ordered_names(old, sorted(old)), 1)}
    order = ordered_names(means, sorted({*means, *old}))
    return tuple(
        AuditedFeature(name, means.get(name, 0.0), place, old.get(name), ranks.get(name))
        for place, name in enumerate(order, 1)
    )


def _notes(now: MeanRelevance, before: MeanRelevance | None) -> list[str]:
    """Say where the records of the explanations differ in something that relevance depends on."""
    records = [*now.records, *(before.records if before is not None else [])]
    words = {
        "source model": [str(one.source.sha256)[:12] for one in records],
        "composite": [one.composite for one in records],
        "rules": [", ".join(one.rules) or "none" for one in records],
        "explained output": [one.output for one in records],
    }
    notes = [
        f"the explanations differ in their {subject}: {', '.join(_several(values))}"
        for subject, values in words.items()
        if len({*values}) > 1
    ]
    if before is not None and (missing := sorted({*before.means} ^ {*now.means})):
        notes.append(f"only one of both has the features {', '.join(missing[:5])}: they count as 0 in the other")
    return notes


def _several(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))[:4]
