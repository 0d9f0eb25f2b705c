"""Gathering: converts, explains and measures everything that a report shows."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp import composites as known_composites
from onnxlrp.convert import convert
from onnxlrp.errors import ExplanationWarning, InputError, OnnxLrpError
from onnxlrp.evaluation.arguments_of_evaluate import find_tokenizer, named_composites
from onnxlrp.evaluation.evaluate_model import evaluate
from onnxlrp.evaluation.evaluated_data import EvaluatedData, read_data
from onnxlrp.evaluation.evaluation_result import Evaluation
from onnxlrp.evaluation.presets import presets_for
from onnxlrp.explained import Explained
from onnxlrp.file_hashes import FileMark
from onnxlrp.reporting.report_content import ComparedExplanation, ReportContent
from onnxlrp.runtime import class_names
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.circumstances import Circumstances
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.recorder import dated
from onnxlrp.view.figures.scene import scene_of

_PRESETS = 4
"""Most composites that are compared where the caller names none."""
_MEASURED = 8
"""Most samples that curves are measured on: others than those shown make the baseline of tables, and a better mean."""


@dataclasses.dataclass(frozen=True, eq=False)
class ReportRequest:
    """The model of a report, its data, and everything else that is asked for."""

    model: Any
    data: Any
    composites: Any = None
    target: Any = None
    position: Any = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of `convert`: the kind of target, the output, the background."""
    samples: int = 3
    """Most samples that are shown."""
    curves: bool = True
    steps: int = 10
    labels: Sequence[str] = ()
    providers: Sequence[Any] | None = None
    tokenizer: Any = None
    preprocess: str = "auto"
    seed: int = 0
    originals: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    """Files of pictures by input, one a sample."""
    pixels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Scale of the pixels of each input that was read from pictures."""
    dated: bool = False
    """True writes the date and time into the records."""
    files: Mapping[str, tuple[FileMark, ...]] = dataclasses.field(default_factory=dict)
    """Files that the inputs were read from, by input."""


def gather_report(request: ReportRequest) -> ReportContent:
    """Convert, explain and measure everything that a report shows.

    Raises InputError if an argument does not fit, and errors as `convert` and `Explainer` do.
    """
    if not isinstance(request.samples, (int, np.integer)) or request.samples < 1:
        raise InputError(f"samples is a whole number from 1 on, not {request.samples!r:.80}")
    asked = {} if request.composites is None else named_composites(request.composites, ())
    name, composite = next(iter(asked.items()), ("auto", "auto"))
    explained = _convert(request, composite)
    explainer = _explainer(request, explained)
    every = read_data(explainer, request.data, None, request.preprocess)
    data, shown, notes = _samples(request, every)
    compared = [_compared(request, name, explained, explainer, data)]
    others = list(asked.items())[1:] if asked else [(one, one) for one in _presets(compared[0], data)]
    notes += _add_others(request, compared, others, data, may_fail=not asked)
    measured = every.taking(_measured(shown, every.count))
    evaluation = _curves(request, [asked.get(one.name, one.name) for one in compared], measured, notes)
    labels = compared[0].explanation.legend.class_names if compared[0].explanation.legend is not None else ()
    return ReportContent(_model_name(request.model), compared, shown, labels, evaluation, notes)


def _convert(request: ReportRequest, composite: Any) -> Explained:
    """Convert the model with the ledger where the composite has one; gradients have none."""
    try:
        return convert(request.model, composite, **request.options, ledger=True)
    except InputError:
        return convert(request.model, composite, **request.options)


def _explainer(request: ReportRequest, explained: Explained) -> Explainer:
    return Explainer(explained, request.providers, find_tokenizer(request.tokenizer, request.model))


def _samples(request: ReportRequest, every: EvaluatedData) -> tuple[EvaluatedData, int, list[str]]:
    """Cut the data to the samples that are computed; return also how many of them are shown."""
    most = min(request.samples, every.batch_size) if every.fixed else request.samples
    shown = min(most, every.count)
    data = every.taking(np.arange(min(every.batch_size if every.fixed else shown, every.count)))
    limit = f" (the model takes {every.batch_size} at once)" if every.fixed and most < request.samples else ""
    notes = [f"the first {shown} of {every.count} samples are shown{limit}"] if shown < every.count else []
    return data, shown, notes


def _measured(shown: int, count: int) -> np.ndarray:
    """Number the samples that curves are measured on: those shown, and others from all over the data."""
    others = np.linspace(shown, count, max(_MEASURED - shown, 0), endpoint=False).astype(int)
    return np.concatenate([np.arange(shown), np.unique(others[others < count])])


def _compared(
    request: ReportRequest, name: str, explained: Explained, explainer: Explainer, data: EvaluatedData
) -> ComparedExplanation:
    """Explain the samples, and keep the cautions instead of warning."""
    feeds = data.batch(next(data.spans()) if data.fixed else slice(0, data.count))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        explanation = explainer(feeds, target=request.target, position=request.position)
    cautions: list[Caution] = []
    for one in caught:
        if isinstance(one.message, ExplanationWarning):
            cautions += one.message.cautions
    known = _with_names(request, explanation, data)
    return ComparedExplanation(name, _purpose(name), explained.plan, explained.interface, known, cautions)


def _with_names(request: ReportRequest, explanation: Explanation, data: EvaluatedData) -> Explanation:
    """Add what the arrays alone do not say: tokens, columns, files of pictures, names of classes."""
    legend = explanation.legend
    if legend is not None:
        names = tuple(request.labels) or legend.class_names or class_names.beside(request.model)
        pixels = request.pixels or legend.pixels
        legend = dataclasses.replace(legend, class_names=names, pixels=pixels)
    originals = {name: list(some)[: data.count] for name, some in request.originals.items()}
    explanation = dated(explanation) if request.dated else explanation
    return dataclasses.replace(
        explanation,
        tokens=data.tokens or explanation.tokens,
        columns={**explanation.columns, **data.columns},
        originals=originals or explanation.originals,
        legend=legend,
        circumstances=_with_files(request, explanation.circumstances, data.count),
    )


def _with_files(request: ReportRequest, known: Circumstances | None, count: int) -> Circumstances | None:
    """Note the files of the samples, of which the first `count` are explained."""
    return None if known is None else dataclasses.replace(known, files=dict(request.files), samples=(0, count))


def _purpose(name: str) -> str:
    """Look up the sentence that says what a composite is for; empty for a composite of the caller's own."""
    called = name.partition("(")[0]
    found = (
        row.good_for or row.purpose for row in known_composites.table() if row.composite.partition("(")[0] == called
    )
    return next(found, "")


def _presets(first: ComparedExplanation, data: EvaluatedData) -> Sequence[str]:
    """List the presets that suit the model, beside the first explanation."""
    kinds = scene_of(first.explanation).kinds
    return [one for one in presets_for(first.plan, kinds, data.feeds) if one != first.name]


def _add_others(
    request: ReportRequest,
    compared: list[ComparedExplanation],
    others: Sequence[tuple[str, Any]],
    data: EvaluatedData,
    may_fail: bool,
) -> list[str]:
    """Explain the samples by other composites too.

    A preset that the model does not allow, or that repeats another one, is left out, and the notes that are returned
    say so.
    """
    notes = []
    for name, composite in others:
        if may_fail and len(compared) == _PRESETS:
            break
        try:
            explained = _convert(request, composite)
            one = _compared(request, name, explained, _explainer(request, explained), data)
        except OnnxLrpError as error:
            if not may_fail:
                raise
            notes.append(f"{name} is left out: {error}")
            continue
        twin = next((other for other in compared if _are_equal(one.explanation, other.explanation)), None)
        if may_fail and twin is not None:
            notes.append(f"{name} is left out: it gives the relevance of {twin.name} on this model")
        else:
            compared.append(one)
    return notes


def _are_equal(one: Explanation, other: Explanation) -> bool:
    """Decide whether two explanations are the same but for rounding."""
    return all(
        np.allclose(value, other.relevance[name], rtol=1e-4, atol=1e-6 * _largest(value), equal_nan=True)
        for name, value in one.relevance.items()
    )


def _largest(values: np.ndarray) -> float:
    """Return the largest finite size of the values; 0 if there is none."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _curves(
    request: ReportRequest, composites: Sequence[Any], data: EvaluatedData, notes: list[str]
) -> Evaluation | None:
    """Measure the curves; where that is not possible, a note says why."""
    if not request.curves:
        return None
    options = dict(request.options)
    try:
        return evaluate(
            request.model,
            data.batch(slice(0, data.count)),
            composites,
            beside=("random",),
            measures=("perturbation",),
            target=request.target,
            position=request.position,
            target_kind=options.pop("target", "class"),
            steps=request.steps,
            providers=request.providers,
            tokenizer=request.tokenizer,
            seed=request.seed,
            **options,
        )
    except OnnxLrpError as error:
        notes.append(f"there are no deletion curves: {error}")
        return None


def _model_name(model: Any) -> str:
    return Path(model).name if isinstance(model, (str, Path)) else "a model in memory"
