"""The description of an explained model for its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from onnxlrp._version import __version__
from onnxlrp.analysis.time_axes import time_axis_of
from onnxlrp.emit.emit import Emitted, Request
from onnxlrp.file_hashes import sha256_of
from onnxlrp.interface import Interface
from onnxlrp.plan import Plan
from onnxlrp.plan.tree_steps import baseline_count
from onnxlrp.source.read import Source


def describe(
    source: Source, plan: Plan, emitted: Emitted, request: Request, asked: Mapping[str, Any], explain_input: str | None
) -> Interface:
    """Describe the explained model by the names that were really used.

    `asked` holds the options of the conversion, `explain_input` is the name of its switch.
    """
    question, options, label = request.question, request.options, request.question.label
    return Interface(
        version=__version__,
        composite=str(plan.composite),
        output=question.name,
        source_sha256=source.sha256,
        rules=tuple(f"{p if isinstance(p, str) else 'predicate'}={r}" for p, r in plan.overrides),
        relevance=emitted.relevance,
        reduce={str(value.name): str(asked.reduction) for value, asked in request.reductions.items()},
        relevance_indices=emitted.relevance_indices,
        channel_axes=_channel_axes(request),
        unbatched=tuple(str(value.name) for value, asked in request.reductions.items() if asked.has_no_batch),
        relevance_at=emitted.relevance_at,
        stops_at=tuple(str(value.name) for value in request.stops_at),
        coefficients_at=emitted.coefficients_at,
        values_at=emitted.values_at,
        mask_inputs=emitted.mask_inputs,
        mask_axes={str(c.value.name): c.channels for c in request.concepts},
        mask_sample_axes={str(c.value.name): c.samples for c in request.concepts if c.samples is not None},
        reference_inputs=emitted.reference_inputs,
        reference_scores=emitted.reference_scores,
        target=options.kind.name,
        **{f"{argument}_input": name for argument, name in emitted.inputs.items()},
        explain_input=explain_input,
        required=options.target_input == "required",
        targets=options.targets,
        batch_axis=request.axes.batch,
        class_axis=request.axes.classes,
        output_shape=_sizes(question.output.shape),
        label_output=None if label is None else str(label.value.name),
        labels=() if label is None else label.classes,
        interactions=emitted.interactions,
        interaction_columns=() if request.interactions is None else request.interactions.columns,
        ledger=emitted.ledger,
        steps=emitted.steps,
        marked=emitted.marked,
        score_is_output=question.score is question.output,
        initial=request.initial,
        seed=plan.composite.seed,
        has_base=plan.has_base,
        background_rows=baseline_count(plan.steps),
        time_axes=_time_axes(source, emitted),
        source_weights={name: sha256_of(path) for name, path in source.weights.items()},
        options=asked,
        base_values=None if plan.base is None or request.initial != "output" else tuple(plan.base.ravel().tolist()),
    )


def _time_axes(source: Source, emitted: Emitted) -> dict[str, int]:
    """Find the axis of time of each explained input that is a series, as far as the model's layers tell it."""
    found = {str(value.name): time_axis_of(value) for value in source.model.graph.inputs}
    return {name: axis for name, axis in found.items() if axis is not None and name in emitted.relevance}


def _channel_axes(request: Request) -> dict[str, int]:
    """Name the axis of channels of each input whose relevance is reduced."""
    found = {str(value.name): asked.axes.channels for value, asked in request.reductions.items()}
    return {name: axis for name, axis in found.items() if axis is not None}


def _sizes(shape: ir.Shape | None) -> tuple[int | str | None, ...] | None:
    return None if shape is None else tuple(d if isinstance(d, int) else d.value for d in shape)
