"""The search of a tuning: all stages on the samples that are not held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onnxlrp.composites import Composite, Overridden
from onnxlrp.errors import OnnxLrpError
from onnxlrp.evaluation.candidates import Candidate, Start, make_start
from onnxlrp.evaluation.halving import Halving, Trial
from onnxlrp.evaluation.presets import picture_box, presets_to_tune
from onnxlrp.evaluation.subject import Subject
from onnxlrp.evaluation.tuning_stages import stages_for
from onnxlrp.rules import Bound

DEFAULT = "auto"
PRESETS = "preset"
"""Name of the first stage."""
_COLUMNS = 64
"""Most columns of a table that bounds are written for."""

Composites = Sequence[str | Path | Composite | Overridden]


def make_starts(subject: Subject, composites: Composites | None) -> tuple[list[Start], list[str]]:
    """Plan `auto` and the composites to start from, by default the presets that suit the model.

    Also returns notes about presets that the model does not allow. Raises InputError for a composite of the caller's
    that cannot be tuned.
    """
    arrays, kinds = subject.data.feeds, subject.units.kinds
    presets = presets_to_tune(subject.plan, kinds, arrays)
    if subject.options.get("background") is not None and any("TreeEnsemble" in s.operator for s in subject.plan.steps):
        presets = (*presets, "auto(trees='interventional')")
    starts, notes = [make_start(subject.model, DEFAULT, subject.options)], []
    for one in presets if composites is None else composites:
        try:
            if one != DEFAULT:
                starts.append(make_start(subject.model, one, subject.options))
        except OnnxLrpError as error:
            if composites is not None:
                raise
            notes.append(f"{one} was left out: {str(error).splitlines()[0]}")
    return starts, notes


def search(halving: Halving, starts: Sequence[Start], box: tuple[Bound, Bound] | None) -> Trial:
    """Run all stages, and return the best trial; `auto` is the first of the starts, and wins where all are equal.

    A stage may use its share of what is left of the budget; what it does not need goes to the later ones.
    """
    presets = halving.admit([Candidate(start) for start in starts], PRESETS, len(starts))
    best = halving.best(presets)
    stages = stages_for(starts[0].layers, box)
    for index, stage in enumerate(stages):
        share = stage.weight / sum(one.weight for one in stages[index:])
        variants = stage.vary([trial.candidate for trial in best])
        new = halving.admit(variants, stage.name, math.ceil(halving.left * share))
        best = halving.best([*best, *new])
    return best[0]


def input_box(subject: Subject) -> tuple[Bound, Bound] | None:
    """Find bounds of the input for the z-box rule: those of all pixels, of all values of a series, or of each column of
    a table; None for other inputs, for several that are no pictures, and for values that are missing or infinite."""
    arrays, kinds = subject.data.feeds, subject.units.kinds
    if (box := picture_box(kinds, arrays)) is not None:
        return box
    if len(kinds) > 1:
        return None
    ((name, kind),) = kinds.items()
    array = arrays[name]
    if array.dtype.kind != "f" or not (kind == "series" or (kind == "table" and array[0].size <= _COLUMNS)):
        return None
    axes = 0 if kind == "table" else None
    low, high = array.min(axis=axes), array.max(axis=axes)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    return [_short(x) for x in low.ravel()], [_short(x) for x in high.ravel()]


def _short(number: float) -> float:
    return float(f"{number:.6g}")
