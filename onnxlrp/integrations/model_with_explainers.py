"""A model and its explainers, which are converted as they are asked for: the adapters' common ground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.reading import open_model


class ModelWithExplainers:
    """A model's scores, and an explainer for each kind of target and each choice of inputs.

    An explained model, or an `Explainer` of one, is the only explainer then, and also computes the scores.
    """

    def __init__(self, model: Any, composite: Any, providers: Sequence[Any] | None, options: Mapping[str, Any]) -> None:
        file = None if isinstance(model, Explainer) else open_model(model)
        self._model, self._providers = model, providers
        self.composite = "auto" if composite is None else composite
        self._options, self._explainers = dict(options), {}  # type: tuple[dict[str, Any], dict[Any, Explainer]]
        self._kind = self._options.pop("target", None)
        self.only: Explainer | None = None
        """The explainer of a model that was explained already; None for a source."""
        if file is None or file.interface is not None:
            self.only = model if isinstance(model, Explainer) else Explainer(model, providers)
            if composite is not None or options:
                raise InputError("the model is explained already, so that it takes no composite and no options")
            _refuse_reduced(self.only)
            self.inputs: dict[str, TensorSpec] = self.only.inputs
            self.output = self.only.explained_output
            return
        self.inputs = {name: spec for name, spec in file.inputs.items() if not spec.optional}
        self.output = str(self._options.get("output") or _first_score(file.outputs))
        self._session = sessions.create_session(file.source, providers)

    def kind(self, wanted: str) -> str:
        """The kind of target to explain: the only explainer's, that of the options, or the wanted one."""
        return self._kind or wanted if self.only is None else self.only.interface.target

    def explainer(self, kind: str, inputs: Sequence[str]) -> Explainer:
        """Convert the model for a kind of target and the inputs to explain, unless that has been done."""
        if self.only is not None:
            missing = [name for name in inputs if name not in self.only.interface.relevance]
            if missing:
                raise InputError(f"the explained model has no relevance of {', '.join(map(repr, missing))}")
            return self.only
        key = (kind, *inputs)
        if self._options.get("reduce"):
            raise InputError(_REDUCED)
        if key not in self._explainers:
            options = {"inputs": list(inputs), **self._options, "target": kind}
            self._explainers[key] = Explainer(convert(self._model, self.composite, **options), self._providers)
        return self._explainers[key]

    def scores(self, feeds: Mapping[str, Any]) -> np.ndarray:
        """Compute the output that is explained."""
        if self.only is None:
            value = sessions.run(self._session, [self.output], dict(feeds))[self.output]
        else:
            value = self.only.compute(self.only.prepare(feeds)).outputs[self.output]
        if not isinstance(value, np.ndarray):
            raise InputError(f"the output {self.output!r} holds maps, not an array of scores: name another as output=")
        return value


_REDUCED = "relevance is needed in the shape of the inputs here: convert without reduce"


def _refuse_reduced(explainer: Explainer) -> None:
    """Raise InputError if a model's relevance has not the shape of its inputs."""
    if explainer.interface.reduce:
        raise InputError(_REDUCED)


def _first_score(outputs: Mapping[str, TensorSpec]) -> str:
    floats = [name for name, spec in outputs.items() if spec.dtype is not None and spec.dtype.kind == "f"]
    if not floats:
        raise InputError(f"none of the outputs {', '.join(map(repr, outputs))} is an array of floats: it has no scores")
    return floats[0]
