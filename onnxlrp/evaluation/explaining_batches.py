"""Relevance of all samples, batch by batch, for scores that are chosen once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.prepared import Prepared
from onnxlrp.runtime.text import ends
from onnxlrp.targets import TARGETS


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenScores:
    """The explained score of each sample; it stays the same whatever is removed from the sample."""

    target: np.ndarray
    """Class of each sample, [N], or indices of an element, [N, indices]."""
    position: np.ndarray | None
    """Position of each sample's score for a token target, [N]."""

    def places(self, score: ScoreModel, data: EvaluatedData) -> np.ndarray:
        """Return the index of each sample's score among all of the sample's scores, flattened, int [N]."""
        shape = score.shape(data.batch(next(data.spans())))
        if self.target.ndim == 2:
            return np.ravel_multi_index(tuple(self.target.T), shape)
        if self.position is not None:
            return self.position * shape[-1] + self.target
        return self.target if int(np.prod(shape)) > 1 else np.zeros_like(self.target)

    def taking(self, rows: np.ndarray) -> ChosenScores:
        """Return the scores of some samples alone."""
        return ChosenScores(self.target[rows], None if self.position is None else self.position[rows])


def choose(explainer: Explainer, data: EvaluatedData, target: Any, position: Any) -> ChosenScores:
    """Choose the scores: those that the caller names, else the predicted ones."""
    if position is None and explainer.interface.position_input is not None:
        position = ends(data.tokens)
    given = {"target": target, "position": position}
    cut = {key: np.asarray(value) for key, value in given.items() if _is_per_sample(key, value, explainer, data)}
    whole = {key: value for key, value in given.items() if key not in cut}
    explanations = explain_batches(explainer, data, cut, whole)
    rows = np.concatenate([np.asarray(one.target) for one in explanations])
    places = [one.position for one in explanations if one.position is not None]
    return ChosenScores(rows, np.concatenate(places) if places else None)


def explain_batches(
    explainer: Explainer,
    data: EvaluatedData,
    chosen: Mapping[str, np.ndarray | None],
    whole: Mapping[str, Any] | None = None,
    changed: Mapping[str, np.ndarray] | None = None,
) -> list[Explanation]:
    """Explain all samples.

    `chosen` are target and position, one for each sample; `whole` those that are the same for all. `changed` are arrays
    in place of the samples' own.
    """
    explanations = []
    for rows in data.spans():
        feeds = data.batch(rows, {name: value[rows] for name, value in (changed or {}).items()})
        given = {key: None if value is None else value[rows] for key, value in chosen.items()}
        explanations.append(explainer.compute(Prepared(feeds, {}), **given, **(whole or {})))
    return explanations


def joined_relevance(explanations: list[Explanation], count: int) -> dict[str, np.ndarray]:
    """Join the relevance of batches to one array of `count` samples for each input."""
    names = explanations[0].relevance
    return {name: np.concatenate([one.relevance[name] for one in explanations])[:count] for name in names}


def _is_per_sample(argument: str, value: Any, explainer: Explainer, data: EvaluatedData) -> bool:
    """Decide whether a target or position differs between samples. Raises TargetError if it fits neither way."""
    kind = TARGETS[explainer.interface.target]
    return value is not None and kind.is_per_sample(argument, np.shape(value), explainer.interface, data.count)
