"""Figure of many rows of a table: the columns ranked by mean |relevance|, and every row as a point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from onnxlrp.view.figures.canvas import GREY, PALE, Drawing, plain_numbers, short
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.row_columns import ShownRows, most_relevant, shown_rows
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.number_words import four_digits

_ROW = 0.36
_MOST = 3000
"""Most points of one column; more rows are drawn as this many of them, evenly chosen."""
_VALUES = LinearSegmentedColormap.from_list("values", ["#3b3f8c", "#8a6fb0", "#d9a441"])
"""Scale of a column's own values, from small to large; other colours than those of relevance."""


def ranking_drawing(scene: Scene, names: Sequence[str], options: Options) -> Drawing:
    """Draw the mean |relevance| of each column as bars, the largest on top."""
    return _drawing(scene, names, options, points=False)


def beeswarm_drawing(scene: Scene, names: Sequence[str], options: Options) -> Drawing:
    """Draw the ranking, and beside it the relevance of every row as a point, coloured by the column's value."""
    return _drawing(scene, names, options, points=True)


def _drawing(scene: Scene, names: Sequence[str], options: Options, points: bool) -> Drawing:
    rows = _chosen(shown_rows(scene, names), options)
    ranks = np.nanmean(np.abs(rows.relevance), axis=0)
    shown, others = most_relevant(ranks, options.top)

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(1, 1 + points, squeeze=False, width_ratios=[1, 2.4][: 1 + points])[0]
        _draw_ranking(axes[0], rows, ranks, shown, others)
        if points:
            _draw_points(axes[1], rows, shown, bool(others), scene.unit)
            _value_scale(canvas, axes[1], len(shown))

    count = len(rows.relevance)
    lines = len(shown) + bool(others)
    notes = (_targets_note(scene),) if points or count > 1 else ()
    title = f"Relevance of the columns over {count:,} rows"
    return Drawing(9.6 if points else 6.4, lines * _ROW + 1.5, draw, notes, all_targets=False, title=title)


def _chosen(rows: ShownRows, options: Options) -> ShownRows:
    if not options.samples:
        return rows
    chosen = list(options.samples)
    values = [None if column is None else column[chosen] for column in rows.values]
    return ShownRows(rows.names, rows.relevance[chosen], values)


_TALL = 5
"""Number of rows from which on the scale of values has room for its whole name."""


def _targets_note(scene: Scene) -> str:
    target = scene.explanation.target
    if scene.is_one_score or target is None or target.ndim > 1:
        return ""
    if len(np.unique(target)) == 1:
        return f"Every row explains {scene.label(0)}."
    return "Each row explains its own class; a call with target=0, say, explains one class for all rows."


def _draw_ranking(axes: Any, rows: ShownRows, ranks: np.ndarray, shown: Sequence[int], others: Sequence[int]) -> None:
    labels = [short(rows.names[column], 34) for column in shown]
    amounts = [float(ranks[column]) for column in shown]
    if others:
        labels.append(f"{len(others)} others, together")
        amounts.append(float(np.nanmean(np.abs(rows.relevance[:, others]).sum(axis=1))))
    axes.barh(range(len(amounts)), amounts, color="#7a7f87", height=0.62)
    for y, amount in enumerate(amounts):
        axes.annotate(four_digits(amount), (amount, y), (3, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, max(amounts, default=1) * 1.28 or 1)
    axes.set_xlabel("mean |relevance|", color=GREY)
    plain_numbers(axes, most=2)


def _draw_points(axes: Any, rows: ShownRows, shown: Sequence[int], others: bool, unit: str) -> None:
    step = max(1, -(-len(rows.relevance) // _MOST))
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
    size = 16 if len(rows.relevance) < 200 else 8
    for y, column in enumerate(shown):
        relevance = rows.relevance[::step, column]
        shift = spread(relevance, float(np.nanmax(np.abs(rows.relevance[:, shown])) or 1))
        colours = _colours_of_values(rows.values[column], step)
        axes.scatter(relevance, y + shift, c=colours, s=size, linewidths=0, alpha=0.85)
        axes.axhline(y, color=PALE, linewidth=0.6, zorder=-1)
    axes.set_ylim(len(shown) + others - 0.4, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(unit, color=GREY)
    plain_numbers(axes)


def spread(relevance: np.ndarray, limit: float) -> np.ndarray:
    """Shift points up and down where many lie close together -> shifts of at most ±0.38, one a point."""
    known = np.nan_to_num(relevance)
    bins = np.round(known / limit * 55).astype(int)
    shift = np.zeros(len(known))
    widest = max(int(np.unique(bins, return_counts=True)[1].max(initial=1)), 8)
    for one in np.unique(bins):
        members = np.flatnonzero(bins == one)
        places = (np.arange(len(members)) + 1) // 2 * np.where(np.arange(len(members)) % 2, 1, -1)
        shift[members] = places * (0.76 / widest)
    return shift


def _colours_of_values(values: Any, step: int) -> Any:
    """Colour points by the rank of their value, from 5 % to 95 %; words and unknown values are grey."""
    if values is None or np.asarray(values).dtype.kind not in "biuf":
        return "#7a7f87"
    known = np.asarray(values, np.float64)
    low, high = np.nanquantile(known, [0.05, 0.95]) if np.isfinite(known).any() else (0.0, 1.0)
    if low == high:
        low, high = np.nanmin(known), np.nanmax(known)
    share = np.clip((known[::step] - low) / ((high - low) or 1.0), 0, 1)
    return _VALUES(np.nan_to_num(share, nan=0.5))


def _value_scale(canvas: Any, axes: Any, rows: int) -> None:
    """Draw the scale of values, with a short name where few rows leave no room for a long one."""
    bar = canvas.colorbar(ScalarMappable(Normalize(0, 1), _VALUES), ax=axes, fraction=0.03, aspect=30, pad=0.02)
    bar.set_ticks([0, 1], labels=["small", "large"])
    bar.set_label("value of the column" if rows >= _TALL else "value", color=GREY, labelpad=-12)
    bar.outline.set_visible(False)
