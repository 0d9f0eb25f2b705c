"""Measures: what each figure of an evaluation is, and in which direction it is better."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Measure:
    """A figure of an evaluation."""

    name: str
    title: str
    """Head of a column."""
    better: Literal["higher", "lower", "neither"]
    text: str
    """Meaning, in a sentence."""


MEASURES = {
    one.name: one
    for one in (
        Measure("area", "area", "higher", "insertion less deletion: the area between both curves, 0 for random order"),
        Measure("deletion", "deletion", "lower", "mean score while the most relevant units are removed first"),
        Measure("insertion", "insertion", "higher", "mean score while the most relevant units are inserted first"),
        Measure("rank_agreement", "rank r", "higher", "rank correlation with leave-one-out, 1 is the same order"),
        Measure("linear_agreement", "linear r", "higher", "linear correlation with leave-one-out"),
        Measure("instability", "instability", "lower", "relative change of relevance under noise of 2 % of the input"),
        Measure("complexity", "complexity", "neither", "entropy of the relevance, 1 if all units have the same"),
        Measure("localisation", "inside", "higher", "share of positive relevance within the masks"),
        Measure("weight_similarity", "random weights", "lower",
                "rank correlation with the explanation by shuffled weights"),
        Measure("reaches_inputs", "reaches", "neither", "share of the relevance that reaches the inputs"),
    )
}  # fmt: skip
"""Every measure, in the order of tables."""

GROUPS = {
    "perturbation": ("area", "deletion", "insertion"),
    "leave_one_out": ("rank_agreement", "linear_agreement"),
    "stability": ("instability",),
    "complexity": ("complexity",),
    "localisation": ("localisation",),
    "sanity": ("weight_similarity",),
    "conservation": ("reaches_inputs",),
}
"""Measures that are computed together, by the name by which the caller asks for them."""
