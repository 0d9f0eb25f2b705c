"""Decide which question an explained model answers: which score is explained, in place of which output, and for which
inputs.

The question is decided before the graph is analysed, and nothing later changes it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.source.explained_inputs import explained_inputs
from onnxlrp.source.explained_score import ExplainedScore, explained_score
from onnxlrp.source.label_output import Label, label_output_of, order_note
from onnxlrp.source.outputs import explained_output
from onnxlrp.source.read import Source
from onnxlrp.targets.kind import Axes, TargetKind


@dataclasses.dataclass(frozen=True)
class Question:
    """All decisions about which score is explained and for which inputs."""

    output: ir.Value
    """The model's own output."""
    name: str
    """The name by which the user knows the output; for a ZipMap it differs from the name of the score that feeds it."""
    score: ir.Value
    """The value that is explained in place of the output, in the layout of the output."""
    label: Label | None
    """The label output that names the class to explain by default; None if there is none, or if the kind of target does
    not follow it."""
    inputs: tuple[ir.Value, ...]
    """The inputs to explain."""
    by_name: bool
    """True if the caller named the inputs, so that each must be reached."""
    axes: Axes | None
    """The axes of the score that count samples and classes; None if no target is asked for."""
    notes: tuple[str, ...]
    """Sentences for the user about these decisions."""


def ask(
    source: Source,
    op: Builder,
    output: str | None,
    inputs: Sequence[str] | None,
    *,
    whole: bool,
    kind: TargetKind | None = None,
) -> Question:
    """Decide what is explained in a canonical graph.

    Parameters
    ----------
    op
        A builder of the model's graph; it adds nodes where the score is put together from several values.
    output, inputs
        Names, as the caller gives them; None for the defaults.
    whole
        True explains the output itself, False the score that a monotone function computes it from.
    kind
        The kind of target; None where targets do not matter.

    Raises
    ------
    InputError
        The model has no such input or output.
    NothingToExplainError
        An input to explain is empty.
    TargetError
        The score needs another kind of target.
    """
    graph = source.model.graph
    explained = tuple(explained_inputs(graph, inputs))
    value, name = explained_output(source, output)
    op.label("score")
    score = ExplainedScore(value) if whole else explained_score(op, value)
    label, notes = _label(graph, value, name)
    notes += [f"explained in place of {name!r}: {part}" for part in score.parts]
    axes = None if kind is None else kind.layout(score.value, list(graph.inputs), name)
    if kind is None or axes is None or axes.classes is None or not kind.follows_label:
        label = None
    return Question(value, name, score.value, label, explained, inputs is not None, axes, tuple(notes))


def _label(graph: ir.Graph, output: ir.Value, name: str) -> tuple[Label | None, list[str]]:
    """Find the label output that names the class to explain by default, and notes about it."""
    shape = output.shape
    count = None if not shape else shape[1 if len(shape) > 1 else 0]
    label = label_output_of(graph, output, count) if isinstance(count, int) and count > 1 else None
    if label is not None:
        return label, [
            f"the default class is the one that the label output {label.value.name!r} names, which need not be the "
            f"largest of {name!r}"
        ]
    note = order_note(graph, output, name) if count == 2 else None
    return None, [] if note is None else [note]
