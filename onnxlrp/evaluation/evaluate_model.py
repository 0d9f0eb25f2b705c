"""The whole evaluation on one screen: read, explain, remove, compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from onnxlrp.composites import Composite, Overridden
from onnxlrp.errors import InputError
from onnxlrp.evaluation.arguments_of_evaluate import (
    BESIDE,
    asked_measures,
    check_beside,
    check_numbers,
    named_composites,
)
from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.evaluation.explanation_methods import AsGiven, ExplanationMethod
from onnxlrp.evaluation.localisation import read_masks
from onnxlrp.evaluation.measuring import Measuring
from onnxlrp.evaluation.presets import presets_for
from onnxlrp.evaluation.subject import Subject, subject_of
from onnxlrp.evaluation.units import Units
from onnxlrp.runtime.progress_bar import progress_bar


def evaluate(
    model: Any,
    data: Any,
    composites: Sequence[str | Path | Composite | Overridden] | str | Composite | Overridden | None = None,
    *,
    explanations: Mapping[str, Any] | None = None,
    beside: Sequence[str] = BESIDE,
    measures: Sequence[str] | None = None,
    target: Any = None,
    position: Any = None,
    target_kind: Literal["class", "token", "element"] = "class",
    output: str | None = None,
    inputs: Sequence[str] | None = None,
    explain_probability: bool = False,
    background: Any = None,
    units: Any = "auto",
    unit_size: int | None = None,
    baseline: Any = "auto",
    mask_token: int | None = None,
    masks: Any = None,
    steps: int = 20,
    confidence: float = 0.95,
    batch_size: int | None = None,
    providers: Sequence[Any] | None = None,
    tokenizer: Any = None,
    preprocess: str = "auto",
    seed: int = 0,
    progress: bool = False,
) -> Evaluation:
    """Measure explanations on a model and data: what does the score do as the parts called relevant are removed?

    The explained score is that of `convert`: the margin upstream of the output where a final softmax or the like is
    skipped. Every composite stands beside a random order, occlusion (leave-one-out itself) and gradient × input.

    Parameters
    ----------
    model
        The model, not an explained one: as `convert` takes it, at most 2 GB.
    data
        A value for each input, by name, as `Explainer.map` takes them: arrays, data frames, texts, or paths of files.
        For a model of one input its value alone. At least 10 samples make intervals that mean something.
    composites
        The composites to compare: names, objects or files. Default: `auto` and the presets that suit the model.
    explanations
        Explanations of your own to measure too, by name: relevance in the inputs' shapes (an array, or a dictionary by
        input), or a function of (model, inputs, target) that computes it. Default: none.
    beside
        Explanations to compare with, from `"random"`, `"occlusion"` and `"gradient_x_input"` (default: all three).
    measures
        The measures, from `"perturbation"`, `"leave_one_out"`, `"stability"`, `"complexity"`, `"localisation"`,
        `"sanity"` and `"conservation"`. Default: all that the data allow.
    target, position
        The explained class (or element), and the position of a token target, as in a call of `Explainer`. Default: the
        predicted ones.
    target_kind
        The kind of target, as `convert` takes it: `"class"` (default), `"token"` or `"element"`.
    output, inputs, explain_probability, background
        As `convert` takes them.
    units
        The parts that are removed at once: `"patches"` or `"superpixels"` of pictures, `"segments"` of series,
        `"features"` of tables, `"tokens"` of text, single `"elements"`; or an array of whole numbers that gives each
        element the number of its unit, -1 for what is never removed; or a dictionary of these by input. Default: by
        kind of input, patches for pictures.
    unit_size
        The side of a patch or superpixel in pixels, the length of a segment. Default: 14 patches along a picture, 20
        segments.
    baseline
        What takes the place of removed parts: `"mean"`, `"zero"`, `"blur"` (pictures), `"mask_token"` (text),
        `"other_samples"` (values of up to 4 other samples, averaged), a number, an array, or a dictionary by input.
        Default: a picture's mean colour, the mean of a series, other samples for tables, the mask token for text.
    mask_token
        The id that replaces a removed token. Default: that of the tokenizer, else 0.
    masks
        For localisation, where the evidence is: masks [N, ...], or boxes [N, 4] (left, top, right, bottom) in pixels.
        Default: none.
    steps
        The number of steps of a curve, at most one for each unit. Default: 20.
    confidence
        The confidence of the bootstrap intervals. Default: 0.95.
    batch_size
        The number of samples in a batch. Default: what the model's file declares, else 16.
    providers, tokenizer
        As `Explainer` takes them.
    preprocess
        The scale of pixels from picture files, as `Explainer.map` takes it.
    seed
        The seed of random orders, noise, shuffled weights and intervals. Default: 0.
    progress
        True shows a bar if stderr is a terminal. Default: False.

    Returns
    -------
    Evaluation
        Figures with intervals, paired differences, curves; `print` shows a table.

    Raises
    ------
    InputError
        An argument has no such value, or does not fit the model or the data.
    OnnxLrpError
        As `convert` and `Explainer` raise them.

    Examples
    --------
    ```python
    evaluation = onnxlrp.evaluate("model.onnx", {"image": x}, ["auto", "epsilon_plus"])
    print(evaluation)
    print(evaluation.difference("auto", "epsilon_plus").better)
    ```
    An explanation from elsewhere, measured beside onnxlrp's:

    ```python
    edges = np.abs(np.gradient(x, axis=3))
    evaluation = onnxlrp.evaluate("model.onnx", {"image": x}, "auto", explanations={"edges": edges})
    ```
    """
    given = locals()
    asked = asked_measures(measures, masks)
    check_numbers(steps, confidence)
    check_beside(beside)
    subject = subject_of(given)
    samples, parts = subject.data, subject.units
    named = named_composites(composites, presets_for(subject.plan, parts.kinds, samples.feeds))
    methods = _methods(named, beside, explanations or {}, subject)
    steps = min(steps, parts.count)
    with progress_bar(progress, "evaluating", _runs(asked, beside, len(methods), parts, steps)) as advance:
        removal = subject.removal(advance)
        measuring = Measuring(samples, removal, subject.score, asked, steps, seed, read_masks(masks, samples), advance)
        while methods:
            method = methods.pop(0)  # it holds a session, which is let go once the method is measured
            is_preset = composites is None and method.name in named
            beside_all = method.name in beside and method.name not in named
            measuring.measure(method, may_fail=is_preset or beside_all, may_repeat=not is_preset)
        if "random" in beside:
            measuring.measure_random()
        if "occlusion" in beside:
            measuring.measure_occlusion()
    return measuring.result(subject.baseline.text, confidence)


def _methods(
    named: Mapping[str, Any], beside: Sequence[str], own: Mapping[str, Any], subject: Subject
) -> list[ExplanationMethod]:
    """List everything that gives relevance to elements; gradient × input stands after the composites."""
    composites = dict(named)
    if "gradient_x_input" in beside:
        composites.setdefault("gradient_x_input", "gradient_x_input")
    twice = [name for name in own if name in composites or name in BESIDE]
    if twice:
        raise InputError(f"two explanations are called {twice[0]!r}: give yours another name")
    ours: list[ExplanationMethod] = [subject.by_composite(name, one) for name, one in composites.items()]
    parts = subject.score, subject.data, subject.chosen
    return [*ours, *(AsGiven(name, given, *parts) for name, given in own.items())]


def _runs(asked: Sequence[str], beside: Sequence[str], methods: int, units: Units, steps: int) -> int:
    """Estimate the number of samples that will be computed, for the progress bar."""
    samples = len(units.present)
    total = samples * methods
    if "perturbation" in asked:
        total += (methods + len(beside)) * samples * 2 * (steps + 1)
    if "leave_one_out" in asked or "occlusion" in beside:
        total += int(units.present.sum()) + samples
    return total
