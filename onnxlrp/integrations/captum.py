"""Relevance with the face of Captum: a program that uses Captum changes the line that makes the attribution method.

It needs neither Captum nor torch: tensors give tensors, and arrays of numpy give arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp import composites
from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.integrations.captum_targets import CaptumTarget
from onnxlrp.integrations.model_with_explainers import ModelWithExplainers
from onnxlrp.integrations.torch_tensors import as_array, as_given
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation

__all__ = ["Attribution"]


class Attribution:
    """An attribution method with the calls of Captum's, for an ONNX model.

    Parameters
    ----------
    model
        A model as `onnxlrp.convert` takes it (a path, bytes or an `onnx.ModelProto`), an explained one, or an
        `onnxlrp.Explainer`.
    composite
        The composite, which says what is computed: LRP with its rules, or another method such as `"deep_lift"`.
        Default: `"auto"`. A model that is explained already has its own.
    providers
        onnxruntime's execution providers. Default: CUDA where it works, else the CPU.
    options
        Further arguments of `onnxlrp.convert`, such as `output` or `rules`.

    Raises
    ------
    InvalidModelError
        The model cannot be read.
    InputError
        The model is explained already, and a composite or options were given.

    Examples
    --------
    ```python
    method = Attribution("model.onnx", "epsilon_plus")  # was: captum.attr.LRP(network)
    relevance, delta = method.attribute(x, target=1, return_convergence_delta=True)
    captum.metrics.sensitivity_max(method.attribute, x, target=1)
    captum.metrics.infidelity(method.forward_func, perturb, x, relevance, target=1)
    ```
    """

    def __init__(
        self, model: Any, composite: Any = None, *, providers: Sequence[Any] | None = None, **options: Any
    ) -> None:
        self._model = ModelWithExplainers(model, composite, providers, options)

    def forward_func(self, *args: Any) -> Any:
        """Compute the output that is explained, for values of the model's inputs in their order."""
        return as_given(self._model.scores(self._feeds(args)), args[0] if args else None)

    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        additional_forward_args: Any = None,
        return_convergence_delta: bool = False,
        *,
        baselines: Any = None,
    ) -> Any:
        """Compute the relevance of inputs.

        Parameters
        ----------
        inputs
            A tensor or array for the model's first input, or a tuple for its first inputs: those that are explained.
        target
            The index of the explained score: a number for all samples, or a list or 1-D tensor with one for each. For
            outputs of more than two axes a tuple of indices after the batch axis for all samples, or a list of tuples.
            Default: the only score, else the predicted class.
        additional_forward_args
            A value, or a tuple of values, for the inputs that follow. They are not explained.
        return_convergence_delta
            True returns `compute_convergence_delta`'s result too. Default: False.
        baselines
            Numbers, tensors or arrays to compare the inputs with, in the form of `inputs`, for the composite
            `"deep_lift(baseline='input')"`. Default: 0. Other composites have their baseline as an argument.

        Returns
        -------
        tensor, array or tuple
            Relevance in the form and shape of `inputs`; with `return_convergence_delta` a pair of that and the delta
            [N].

        Raises
        ------
        InputError
            A value does not fit the model, or the method has no delta.
        TargetError
            The model has no such score.
        """
        given, chosen = _as_tuple(inputs), CaptumTarget.of(target)
        feeds = self._feeds((*given, *_as_tuple(additional_forward_args)))
        names = list(feeds)[: len(given)]
        kind = self._model.kind(chosen.kind)
        explainer = self._model.explainer(kind, names)
        if baselines is None:
            explanation = explainer.run(explainer.prepare(feeds), **chosen.arguments(kind))
        else:
            start = {n: _at_least_one(b, feeds[n]) for n, b in zip(names, _as_tuple(baselines), strict=False)}
            explanation = explainer.compare(feeds, start, **chosen.arguments(kind))
        values = tuple(as_given(explanation.relevance[n], x) for n, x in zip(names, given, strict=True))
        relevance = values if isinstance(inputs, tuple) else values[0]
        if not return_convergence_delta:
            return relevance
        delta = self._delta(explainer, explanation, feeds, names)
        return relevance, as_given(delta, given[0])

    def has_convergence_delta(self) -> bool:
        """Decide whether relevance is meant to add up to the score, or to its change from a baseline."""
        composite = self._composite
        return composite.seed != "gradient" or _baseline(composite) is not None

    def compute_convergence_delta(
        self,
        attributions: Any,
        start_point: Any,
        end_point: Any,
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Any:
        """Compute the sum of the attributions less the change of the score from one point to another, [N].

        Parameters
        ----------
        attributions
            A tensor or array, or a tuple of them.
        start_point, end_point
            The baseline and the sample, in the form of `attribute`'s `inputs`.
        target, additional_forward_args
            As in `attribute`; outputs of several scores need a target.

        Returns
        -------
        tensor or array
            The delta of each sample, [N]. Captum's LRP alone turns the sign around.
        """
        more, chosen = _as_tuple(additional_forward_args), CaptumTarget.of(target)
        start, end = (
            chosen.scores(self._model.scores(self._feeds((*_as_tuple(point), *more))))
            for point in (start_point, end_point)
        )
        return as_given(_sum(map(as_array, _as_tuple(attributions))) - (end - start), _as_tuple(attributions)[0])

    @property
    def _composite(self) -> Composite:
        only = self._model.only
        parsed = composites.parse(self._model.composite if only is None else only.interface.composite)
        return parsed if isinstance(parsed, Composite) else parsed.base

    def _feeds(self, values: Sequence[Any]) -> dict[str, np.ndarray]:
        """Assign values to the model's inputs in their order. Raises InputError if there are too many."""
        names = list(self._model.inputs)
        if not 0 < len(values) <= len(names):
            raise InputError(f"{len(values)} values for the inputs {', '.join(map(repr, names))}")
        return {name: as_array(value) for name, value in zip(names, values, strict=False)}

    def _delta(
        self, explainer: Explainer, explanation: Explanation, feeds: dict[str, np.ndarray], names: Sequence[str]
    ) -> np.ndarray:
        """Compute the sum of relevance less the score, or less its change from the composite's baseline."""
        total = _sum(explanation.relevance[name] for name in names)
        if explanation.base_value is not None and explanation.raw_score is not None:
            return total - (explanation.raw_score - explanation.base_value)
        if explanation.score is None or not self.has_convergence_delta() or not explainer.interface.score_is_output:
            raise InputError(
                f"{explainer.interface.composite} has no delta here: relevance must add up to one score of the output "
                f"{explainer.explained_output!r} itself; name the scores upstream of a final softmax as output=, or "
                "give explain_probability=True"
            )
        baseline = _baseline(self._composite)
        if baseline is None:
            return total - explanation.score
        at_baseline = {n: _broadcast(baseline, x) if n in names else x for n, x in feeds.items()}
        interface, arguments = explainer.interface, {"target": explanation.target, "position": explanation.position}
        asked = {k: v for k, v in arguments.items() if v is not None and k in interface.added_inputs}
        start = explainer.compute(explainer.prepare(at_baseline), **asked)
        assert start.score is not None
        return total - (explanation.score - start.score)


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return () if values is None else values if isinstance(values, tuple) else (values,)


def _at_least_one(baseline: Any, x: np.ndarray) -> np.ndarray:
    """Make a single row of one number out of a number; arrays stay as they are."""
    array = as_array(baseline)
    return array if array.ndim else np.full([1, *x.shape[1:]], array, x.dtype)


def _sum(arrays: Any) -> np.ndarray:
    """Add up each sample's relevance over all inputs, [N]."""
    return np.sum([array.reshape(len(array), -1).sum(1) for array in arrays], axis=0)


def _baseline(composite: Composite) -> Any:
    """The baseline that relevance is counted from; None for LRP and plain gradients."""
    return composite.reference if composite.points is None else composite.points.baseline


def _broadcast(baseline: Any, x: np.ndarray) -> np.ndarray:
    """Give a baseline the shape of an input; one number for each channel lies along axis 1, else along the last one."""
    array = np.asarray(baseline, x.dtype)
    if array.ndim == 1 and array.size > 1 and x.ndim > 2 and x.shape[1] == array.size:
        array = array.reshape(-1, *[1] * (x.ndim - 2))
    return np.broadcast_to(array, x.shape)
