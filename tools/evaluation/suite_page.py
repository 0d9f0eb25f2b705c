"""Page of the judgement: areas with intervals, paired differences to `auto`, and everything that is above it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping

import numpy as np
import onnxruntime

import onnxlrp
from onnxlrp.evaluation.evaluation_result import Difference, Evaluation
from tools.evaluation.suite_subjects import Subject

AUTO = "auto"
ENDS = ("occlusion", "random")
"""Ends of the scale."""
OTHERS = (
    "deep_lift",
    "integrated_gradients",
    "guided_backprop",
    "grad_cam",
    "layer_cam",
    "attention_rollout",
    "smooth_grad(samples=16, sigma={noise})",
)
"""Methods that stand there for comparison alone: neither presets of LRP nor gradient × input. The noise is 15 % of the
width of the box of the rows, as Smilkov et al. 2017 advise."""


def row(subject: Subject, evaluation: Evaluation) -> str:
    """Write one model's areas in a line for the terminal; ▲ and ▽ where the difference to `auto` excludes 0."""
    cells = []
    for name in evaluation.explanations:
        figure, apart = evaluation.figure(name), evaluation.difference(name, AUTO)
        mark = {name: "▲", AUTO: "▽"}.get(apart.better or "", "") if name != AUTO else ""
        cells.append(f"{_short(name)} {figure.mean:.2f}{mark}")
    return f"{subject.folder} ({evaluation.samples}, {evaluation.units}): " + ", ".join(cells)


def page(found: Mapping[Subject, Evaluation], confidence: float, minutes: float) -> str:
    """Write the whole page in Markdown."""
    names = list(dict.fromkeys(_short(name) for one in found.values() for name in one.explanations))
    judged = [name for name in names if name not in _unjudged()]
    pairs = sum(name in map(_short, one.explanations) for one in found.values() for name in judged)
    above = [line for subject, one in found.items() for line in _above(subject, one)]
    others = [name for name in names if name != AUTO]
    return "\n".join(
        [
            "# The default composite on the suite",
            "",
            f"`python -m tools.evaluation suite`, {datetime.date.today().isoformat()}, onnxlrp {onnxlrp.__version__}, "
            f"onnxruntime {onnxruntime.__version__}, numpy {np.__version__}, {minutes:.0f} minutes of one core.",
            "",
            *_INTRODUCTION,
            "",
            *_head(["model", "samples, parts, baseline", *(f"`{name}`" for name in names)]),
            *(_areas(subject, one, names) for subject, one in found.items()),
            "",
            "## Differences to `auto`",
            "",
            f"Paired, sample by sample, in percent of the area of `auto`, with {confidence:.0%} bootstrap intervals.",
            "Below 0 `auto` is higher; `*`: the interval excludes 0. Empty: the same order as `auto`, or refused.",
            "",
            *_head(["model", *(f"`{name}`" for name in others)]),
            *(_differences(subject, one, others) for subject, one in found.items()),
            "",
            "## Above `auto` by more than the interval",
            "",
            f"Presets and gradient × input, {pairs} pairs with `auto`. Of pairs of equals one in 40 would stand here.",
            "",
            *(above or ["None."]),
            "",
        ]
    )


_INTRODUCTION = (
    "Deletion tests by `onnxlrp.evaluate`, on rows that no rule was chosen by. Area: the mean score as the least",
    "relevant parts are removed first, less the mean as the most relevant are. Higher is better, and a random order",
    "has 0 on average. ± is half of the interval over samples; bold is the largest but for occlusion. Boxes hold the",
    "rows that are measured. Empty: the composite refuses the model.",
)


def _head(columns: list[str]) -> list[str]:
    return ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]


def _areas(subject: Subject, one: Evaluation, names: list[str]) -> str:
    known = {_short(name): one.figure(name) for name in one.explanations}
    best = max(figure.mean for name, figure in known.items() if name not in ENDS)
    cells = []
    for name in names:
        figure = known.get(name)
        text = "" if figure is None else f"{figure.mean:.3g} ± {(figure.high - figure.low) / 2:.2g}"
        cells.append(f"**{text}**" if figure is not None and figure.mean == best else text)
    how = f"{one.samples}, {one.units}, {one.baseline}"
    return f"| `{subject.folder}`: {subject.kind} | {how} | " + " | ".join(cells) + " |"


def _differences(subject: Subject, one: Evaluation, names: list[str]) -> str:
    return f"| `{subject.folder}` | " + " | ".join(_difference(one, name) for name in names) + " |"


def _difference(one: Evaluation, name: str) -> str:
    known = {_short(full): full for full in one.explanations}
    if name not in known:
        return ""
    apart, area = one.difference(known[name], AUTO), abs(one.figure(AUTO).mean)
    if apart.low == apart.high == 0:
        return ""
    mark = " *" if apart.better else ""
    return f"{apart.mean / area:+.1%} [{apart.low / area:+.1%}, {apart.high / area:+.1%}]{mark}"


def _above(subject: Subject, one: Evaluation) -> list[str]:
    """List presets, and gradient × input, that are above `auto` by more than the interval of the difference."""
    lines = []
    for full in one.explanations:
        apart, name = one.difference(full, AUTO), _short(full)
        if name not in _unjudged() and apart.better == full:
            lines.append(f"- `{subject.folder}`: `{name}` by {_gap(one, apart)}")
    return lines


def _gap(one: Evaluation, difference: Difference) -> str:
    return f"{difference.mean:.2g} ({difference.mean / abs(one.figure(AUTO).mean):.1%})"


def _unjudged() -> set[str]:
    """Name the columns that are no presets and not gradient × input."""
    return {AUTO, *ENDS, *map(_short, OTHERS)}


def _short(name: str) -> str:
    """Leave out what is fitted to a model's rows: the bounds of boxes, and the noise."""
    return name.split("(low=")[0].split("(samples=")[0]
