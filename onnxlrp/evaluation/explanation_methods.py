"""Explanation methods: composites, gradients of the score, and explanations that the user brings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import onnx

from onnxlrp.composites import Composite, Overridden
from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.evaluation.conservation_shares import ConservationShares, conservation_shares
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.explaining_batches import ChosenScores, explain_batches, joined_relevance
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.runtime.explainer import Explainer

Relevance = Mapping[str, np.ndarray]
"""Relevance of every element of the explained inputs, by input."""


class ExplanationMethod(Protocol):
    """A way to explain samples of a model."""

    @property
    def name(self) -> str:
        """Name in tables."""

    @property
    def conservation(self) -> ConservationShares | None:
        """Shares of relevance that arrive; None where nothing is to be conserved. Known once samples were explained."""

    @property
    def explains_anew(self) -> bool:
        """True if other inputs and other weights can be explained too."""

    def explain(
        self, changed: Mapping[str, np.ndarray] | None = None, proto: onnx.ModelProto | None = None
    ) -> Relevance:
        """Explain all samples, with other arrays (`changed`) or by a model with other weights (`proto`)."""


@dataclasses.dataclass(eq=False)
class ByComposite:
    """Explanations by a composite; those that are gradients are explained at the score, too."""

    name: str
    composite: str | Composite | Overridden
    model: Any
    """Model to convert."""
    options: Mapping[str, Any]
    """Arguments of `convert`."""
    score: ScoreModel
    data: EvaluatedData
    chosen: ChosenScores
    providers: Any = None
    ledger: bool = True
    """True keeps the ledger, which tells `conservation`; without it explanations are quicker."""
    conservation: ConservationShares | None = None
    explains_anew: bool = True
    _explainer: Explainer | None = None

    def explain(
        self, changed: Mapping[str, np.ndarray] | None = None, proto: onnx.ModelProto | None = None
    ) -> Relevance:
        explainer = self._opened() if proto is None else self._of_score(proto)
        chosen = {"target": self.chosen.target, "position": self.chosen.position}
        explanations = explain_batches(explainer, self.data, chosen, changed=changed)
        if changed is None and proto is None:
            self.conservation = conservation_shares(explanations)
        return joined_relevance(explanations, self.data.count)

    def _opened(self) -> Explainer:
        if self._explainer is None:
            if self._is_gradient():
                self._explainer = self._of_score(self.score.proto)
            else:
                explained = convert(self.model, self.composite, ledger=self.ledger, **self.options)
                self._explainer = Explainer(explained, self.providers)
        return self._explainer

    def _of_score(self, proto: onnx.ModelProto) -> Explainer:
        """Convert the forward graph alone, whose output is the score itself."""
        options = {**self.options, "output": self.score.name, "explain_probability": True}
        return Explainer(convert(proto, self.composite, **options), self.providers)

    def _is_gradient(self) -> bool:
        from onnxlrp.composites import parse

        parsed = parse(self.composite)
        return (parsed.base if isinstance(parsed, Overridden) else parsed).seed == "gradient"


@dataclasses.dataclass(eq=False)
class AsGiven:
    """Explanations that the user brings: arrays, or a function of (model, inputs, target) that computes them."""

    name: str
    given: Any
    score: ScoreModel
    data: EvaluatedData
    chosen: ChosenScores
    conservation: ConservationShares | None = None

    @property
    def explains_anew(self) -> bool:
        return callable(self.given)

    def explain(
        self, changed: Mapping[str, np.ndarray] | None = None, proto: onnx.ModelProto | None = None
    ) -> Relevance:
        given = self.given
        if callable(given):
            inputs = self.data.batch(slice(None), changed)
            given = given(self.score.proto if proto is None else proto, inputs, self.chosen.target)
        by_name = given if isinstance(given, Mapping) else {self.data.explained[0]: given}
        return {name: self._checked(by_name, name) for name in self.data.explained}

    def _checked(self, by_name: Mapping[str, Any], name: str) -> np.ndarray:
        shape = self.data.feeds[name].shape
        if name not in by_name:
            raise InputError(f"the explanation {self.name!r} has no relevance for input {name!r}")
        value = np.asarray(by_name[name], dtype=np.float64)
        if value.shape != shape:
            raise InputError(
                f"the explanation {self.name!r} of input {name!r} has the shape {list(value.shape)}, not {list(shape)}"
            )
        return value
