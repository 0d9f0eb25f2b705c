"""Figures of one row of a table: a waterfall from the base value to the score, or plain bars."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.view.figures.canvas import AGAINST, FOR, GREY, INK, PALE, Drawing, plain_numbers, short, signed
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.row_columns import ShownRows, most_relevant, shown_rows
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.number_words import in_digits

_ROW, _WIDTH = 0.31, 8.2
_TOP_OF_SEVERAL = 6
"""Most columns that are shown one by one where a figure holds several waterfalls."""
_ABSORBED = "biases of the model"
"""Name of the step for what no column gets, because biases and the stabiliser absorb it."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One bar of a waterfall, from `start` to `start + amount`."""

    label: str
    start: float
    amount: float
    is_column: bool = True


@dataclasses.dataclass(frozen=True)
class Waterfall:
    """Steps from a start to an end, both with a name."""

    steps: tuple[Step, ...]
    begin: float
    end: float
    begin_name: str
    end_name: str


def waterfall(scene: Scene, rows: ShownRows, row: int, top: int, k: int = 0) -> Waterfall:
    """Make the steps of one row: its most relevant columns, the others together, and what biases absorb.

    It leads from the base value to the score that base value and relevance add up to. Without a base value it leads
    from 0 to the score, with a step for what biases absorb; where the score cannot be seen, to the sum of relevance.
    """
    amounts = rows.relevance[row]
    begin, end, names = _ends(scene, row, k, float(np.nansum(amounts)))
    shown, others = most_relevant(amounts, top)
    parts = [(rows.label(column, row), float(amounts[column]), True) for column in shown]
    if others:
        parts.append((f"{len(others)} others", float(amounts[others].sum()), True))
    rest = end - begin - float(np.nansum(amounts))
    if abs(rest) > 1e-4 * max(abs(end - begin), float(np.nansum(np.abs(amounts))), 1e-30):
        parts.append((_ABSORBED, rest, False))
    starts = np.cumsum([begin, *(amount for _, amount, _ in parts)])
    steps = tuple(Step(label, float(start), amount, kind) for (label, amount, kind), start in zip(parts, starts))
    return Waterfall(steps, begin, end, *names)


def _ends(scene: Scene, row: int, k: int, total: float) -> tuple[float, float, tuple[str, str]]:
    explanation = scene.explanation
    if explanation.base_value is not None and explanation.raw_score is not None:
        place = (row,) if explanation.base_value.ndim == 1 else (row, k)
        base, raw = float(explanation.base_value[place]), float(explanation.raw_score[place])
        score = scene.score(row, k)
        same = score is not None and abs(score - raw) <= 1e-5 * max(abs(raw), 1e-30)
        return base, raw, ("base value", "score" if same else "raw score")
    score = scene.score(row, k)
    if scene.ends_at_score and score is not None:
        return 0.0, score, ("0", "score")
    return 0.0, total, ("0", "Σ relevance")


def waterfall_drawing(scene: Scene, names: Sequence[str], options: Options) -> Drawing:
    """Draw a waterfall for each sample and target, one below the other, at most four."""
    places = _places(scene, options)
    many = len(places) > 1
    top = min(options.top, _TOP_OF_SEVERAL) if many else options.top
    falls = [(waterfall(scene, shown_rows(scene, names, k), row, top, k), row, k) for row, k in places]
    heights = [(len(fall.steps) + 2) * _ROW + 0.75 + 0.25 * many for fall, _, _ in falls]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(len(falls), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, (fall, row, k) in zip(axes, falls, strict=True):
            _draw_waterfall(place, fall, scene.unit)
            if many:
                name = f"sample {row}: " if len(options.samples or range(scene.samples)) > 1 else ""
                place.set_title(short(name + scene.heading(row, k), 80), loc="left", fontweight="bold")

    every = len(options.samples or range(scene.samples)) * scene.targets
    notes = (f"The first {len(places)} of {every} explanations.",) if every > len(places) else ()
    return Drawing(_WIDTH, sum(heights) + 0.5, draw, notes)


def bars_drawing(scene: Scene, names: Sequence[str], options: Options) -> Drawing:
    """Draw the most relevant columns of one row as bars from 0, the most relevant on top."""
    row, k = _places(scene, options)[0]
    rows = shown_rows(scene, names, k)
    shown, others = most_relevant(rows.relevance[row], options.top)
    amounts = [float(rows.relevance[row][column]) for column in shown]
    labels = [rows.label(column, row) for column in shown]
    if others:
        labels.append(f"{len(others)} others")
        amounts.append(float(rows.relevance[row][others].sum()))

    def draw(canvas: Any) -> None:
        axes = canvas.subplots()
        axes.barh(range(len(amounts)), amounts, color=[FOR if one > 0 else AGAINST for one in amounts], height=0.68)
        axes.axvline(0, color=GREY, linewidth=0.8)
        for y, amount in enumerate(amounts):
            _write_amount(axes, 0, amount, y)
        _label_rows(axes, labels, scene.unit)

    return Drawing(_WIDTH, len(amounts) * _ROW + 1.35, draw, sample=row, all_targets=False)


def _places(scene: Scene, options: Options) -> list[tuple[int, int]]:
    samples = options.samples or range(scene.samples)
    return [(row, k) for row in samples for k in range(scene.targets)][:4]


def _draw_waterfall(axes: Any, fall: Waterfall, unit: str) -> None:
    last = len(fall.steps)
    for y, step in enumerate(fall.steps):
        colour = (FOR if step.amount > 0 else AGAINST) if step.is_column else "#9a9a9a"
        axes.barh(y, step.amount, left=step.start, color=colour, height=0.68)
        end = step.start + step.amount
        axes.plot([end, end], [y - 0.34, min(y + 1.34, last - 0.3)], color=GREY, linewidth=0.7)
        _write_amount(axes, step.start, step.amount, y)
    axes.axvline(fall.begin, color=PALE, linewidth=1, zorder=0)
    axes.plot(fall.end, last, marker="D", color=INK, markersize=5)
    axes.axvline(fall.end, color=INK, linewidth=0.8, linestyle=(0, (4, 3)), zorder=0)
    _label_rows(axes, [*(step.label for step in fall.steps), f"{fall.end_name} = {in_digits(fall.end)}"], unit)
    top = "" if fall.begin_name == "0" else f"{fall.begin_name} = {in_digits(fall.begin)}"
    axes.annotate(top, (fall.begin, -0.75), ha="left", va="bottom", fontsize=8.5, color=GREY, annotation_clip=False)
    axes.set_ylim(last + 0.6, -0.75)


def _write_amount(axes: Any, start: float, amount: float, y: float) -> None:
    """Write an amount at the end of its bar, on the side that the bar points to."""
    shift, side = (4, "left") if amount >= 0 else (-4, "right")
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
    axes.annotate(signed(amount), (start + amount, y), (shift, 0), textcoords="offset points", va="center", ha=side,
                  fontsize=8.5, bbox=paper, zorder=4)  # fmt: skip


def _label_rows(axes: Any, labels: Sequence[str], unit: str) -> None:
    axes.set_yticks(range(len(labels)), [short(label, 46) for label in labels])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel(unit, color=GREY)
    axes.spines["left"].set_visible(False)
    low, high = axes.dataLim.intervalx
    room = 0.13 * ((high - low) or 1.0)
    axes.set_xlim(low - room * bool(low < 0 or low == high), high + room)
    plain_numbers(axes)
