"""Study the channels of an inner value on a data set: convert, explain every sample, add up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.composites import Composite, Overridden
from onnxlrp.concepts.concept_study import ConceptStudy
from onnxlrp.concepts.default_layer import last_convolution
from onnxlrp.concepts.indexed_samples import IndexedSamples
from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation


def concepts_of(
    model: Any,
    data: Any,
    *,
    layer: str | None = None,
    composite: str | Path | Composite | Overridden = "auto",
    target: Any = None,
    output: str | None = None,
    batch_size: int | None = None,
    providers: Sequence[Any] | None = None,
    preprocess: str = "auto",
    progress: bool = False,
) -> ConceptStudy:
    """Find out what the channels of an inner value stand for: how much each contributes to predictions, and on which
    samples most (concept relevance propagation, Achtibat et al. 2023).

    Parameters
    ----------
    model
        The model, not an explained one: as `convert` takes it.
    data
        Samples, as `Explainer.map` takes them: a folder of pictures, arrays by input, or for a model of one input its
        value alone.
    layer
        The name of the inner value. Default: the output of the last convolution.
    composite
        The composite. Default: `"auto"`.
    target
        The explained class: one for all samples, or one a sample. Default: the predicted one.
    output
        The output to explain, as `convert` takes it.
    batch_size, providers, preprocess
        As `Explainer` and `Explainer.map` take them.
    progress
        True shows a bar if stderr is a terminal. Default: False.

    Returns
    -------
    ConceptStudy
        The relevance and activation of every channel on every sample; it ranks channels, finds reference samples and
        draws them.

    Raises
    ------
    InputError
        The model has no such value, none with channels, or the data do not fit.
    OnnxLrpError
        As `convert` and `Explainer` raise them.

    Examples
    --------
    ```python
    study = onnxlrp.concepts_of("model.onnx", {"image": samples}, layer="r")
    print(study.ranking(sample=0)[0])  # the most relevant channel of the first prediction
    print(study.references(3, by="activation"))
    ```
    """
    layer = last_convolution(model, composite, output) if layer is None else layer
    asked: dict[str, Any] = {"concepts": [layer], "relevance_at": [layer], "values_at": [layer]}
    explainer = Explainer(convert(model, composite, output=output, **asked), providers)
    return study(explainer, layer, data, target=target, batch_size=batch_size, preprocess=preprocess, progress=progress)


def study(
    explainer: Explainer,
    layer: str,
    data: Any,
    *,
    target: Any = None,
    batch_size: int | None = None,
    preprocess: str = "auto",
    progress: bool = False,
) -> ConceptStudy:
    """Study data with an explainer whose model has `layer` among its concepts, its relevance and its values; the other
    parameters are those of `concepts_of`."""
    face = explainer.interface
    relevance, activation, targets, scores = [], [], [], []
    names: list[str] = []
    options = {"target": target, "preprocess": preprocess, "progress": progress}
    for one in explainer.map(data, batch_size, **options):
        if one.target is None or one.score is None or one.target.ndim > 1:
            raise InputError("concepts are studied for one class of each sample, which this model does not explain")
        relevance.append(_of_channels(one.relevance_at[layer], face, layer))
        activation.append(_of_channels(one.values_at[layer], face, layer))
        targets.append(one.target)
        scores.append(one.score)
        names += sample_names(one, len(names), len(one.target))
    return ConceptStudy(
        layer,
        np.concatenate(relevance),
        np.concatenate(activation),
        np.concatenate(targets),
        np.concatenate(scores),
        tuple(names),
        explainer.class_names,
        IndexedSamples.of(explainer, data, preprocess),
    )


def _of_channels(array: np.ndarray, face: Interface, layer: str) -> np.ndarray:
    """Add up the values of each channel of each sample -> [N, channels]."""
    channels, samples = face.mask_axes[layer], face.mask_sample_axes.get(layer)
    if samples is None:
        array, samples, channels = array[None], 0, channels + 1
    moved = np.moveaxis(array, (samples, channels), (0, 1))
    return moved.reshape(*moved.shape[:2], -1).sum(axis=2, dtype=np.float64)


def sample_names(explanation: Explanation, start: int, count: int) -> list[str]:
    """Name the samples of a batch by the first identifier that they have, else by their numbers."""
    for values in explanation.ids.values():
        if len(values) == count:
            return [str(value) for value in values]
    return [str(start + index) for index in range(count)]
