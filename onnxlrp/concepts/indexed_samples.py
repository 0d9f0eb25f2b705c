"""The samples of a study, which are read again one by one for their conditional maps."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import Given, by_name


@dataclasses.dataclass(frozen=True, eq=False)
class IndexedSamples:
    """Values of a model's inputs for many samples, as `Explainer.map` takes them."""

    explainer: Explainer
    given: Given
    preprocess: str

    @classmethod
    def of(cls, explainer: Explainer, inputs: Any, preprocess: str) -> IndexedSamples:
        """Find out which input each part of `inputs` is for."""
        return cls(explainer, by_name(inputs, explainer.inputs, explainer.columns), preprocess)

    def explain(self, index: int, target: np.ndarray, channels: Any = None) -> tuple[Explanation, int]:
        """Explain the batch that holds a sample, for the classes `target` of all samples, [S].

        Returns the explanation, and the sample's place in it: 0 unless the model fixes the size of its batches.
        """
        batches = self._batches()
        number = index // batches.size
        start, stop = batches.span(number)
        inputs = {**batches.read(number).inputs}
        originals = batches.originals(number)
        explanation = self.explainer(inputs, target=target[start:stop], preprocess=self.preprocess, channels=channels)
        return dataclasses.replace(explanation, originals={**explanation.originals, **originals}), index - start

    def _batches(self) -> Batches:
        explainer, how = self.explainer, Preprocess.parse(self.preprocess)
        name = next(name for name in explainer.interface.relevance if name in self.given.inputs)
        shape = explainer.inputs[name].shape or (None,)
        size = None if isinstance(shape[0], int) else 1
        return Batches(self.given, {}, explainer.inputs, explainer.interface, size, how)
