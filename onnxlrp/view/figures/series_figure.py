"""Figures of series and audio: the line coloured by relevance, and a strip of colours for each channel."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.runtime.input_kinds import time_axis
from onnxlrp.view import pictures
from onnxlrp.view.figures.canvas import GREY, INK, PALE, SIGNED, Drawing, clip_note, colour_bar, scale
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.scene import Scene

_WIDTH = 9.6
_FEW = 6
"""Most channels that get a line each."""
_BINS = 1200
"""Most steps that are drawn apart: more than the figure has pixels across."""


@dataclasses.dataclass(frozen=True, eq=False)
class Series:
    """One sample of a series, time along the last axis."""

    relevance: np.ndarray
    """Relevance [channels, bins], summed within each bin."""
    low: np.ndarray | None
    """Smallest value in each bin, [channels, bins]; None if values are not known."""
    high: np.ndarray | None
    edges: np.ndarray
    """Limits of the bins in units of the time axis, [bins + 1]."""
    names: tuple[str, ...]
    """Names of the channels."""
    unit: str
    """Name and unit of the time axis."""


def series_of(scene: Scene, name: str, sample: int, k: int, options: Options) -> Series:
    """Bring one sample to [channels, time], with the steps of a long series in bins."""
    axis = axis_of_time(scene, name, options)
    relevance, value = (_channels_first(array, axis) for array in (scene.relevance(name, sample, k),
                                                                  scene.value(name, sample)))  # fmt: skip
    assert relevance is not None
    steps = relevance.shape[1]
    block = max(1, -(-steps // _BINS))
    starts = np.arange(0, steps, block)
    edges = np.append(starts, steps) / (options.sampling_rate or 1.0)
    columns = scene.explanation.columns.get(name, ())
    count = len(relevance)
    known = tuple(map(escaped, columns)) if len(columns) == count else tuple(f"channel {i}" for i in range(count))
    low = high = None
    if value is not None and value.shape == relevance.shape:
        low, high = np.minimum.reduceat(value, starts, axis=1), np.maximum.reduceat(value, starts, axis=1)
    return Series(np.add.reduceat(relevance, starts, axis=1), low, high, edges, ("",) if count == 1 else known,
                  "time in seconds" if options.sampling_rate else "time step")  # fmt: skip


def axis_of_time(scene: Scene, name: str, options: Options) -> int:
    """Choose the axis of [N, ., .] that holds time: the caller's, else the model's, else the one of open length or the
    longer one."""
    array = np.asarray(scene.inputs.get(name, scene.explanation.relevance[name]))
    if (axis := options.time_axis) is not None:
        if not isinstance(axis, (int, np.integer)) or axis not in (*range(1, array.ndim), *range(1 - array.ndim, 0)):
            raise InputError(f"time_axis is one of the axes 1 to {array.ndim - 1} of {name!r}, not {axis!r:.80}")
        return int(axis) % array.ndim
    if array.ndim < 3:
        return array.ndim - 1
    known = scene.time_axes.get(name)
    if known is not None:
        return known
    return time_axis(scene.specs[name], array) if name in scene.specs else 1 + int(array.shape[2] > array.shape[1])


def _channels_first(array: Any, axis: int) -> np.ndarray | None:
    if array is None:
        return None
    array = np.asarray(array, np.float64)
    return array.reshape(1, -1) if array.ndim < 2 else np.moveaxis(array, axis - 1, -1)


def series_drawing(scene: Scene, name: str, options: Options) -> Drawing:
    """Draw a line for each of up to six channels, coloured by relevance, with a strip of colours below it.

    More channels become strips of one picture, with the sum over them below it.
    """
    sample = (options.samples or (0,))[0]
    shown = [series_of(scene, name, sample, k, options) for k in range(min(scene.targets, 3))]
    limit = pictures.limit_of(np.stack([one.relevance for one in shown]))
    if len(shown[0].relevance) > _FEW or shown[0].low is None:
        return _strips(scene, name, sample, shown, limit)
    titles = [scene.heading(sample, k) for k in range(len(shown))] if len(shown) > 1 else [""]
    lines = [(one, channel, title) for one, title in zip(shown, titles) for channel in range(len(one.relevance))]

    def draw(canvas: Any) -> None:
        ratios = [1.0, 0.14] * len(lines)
        axes = canvas.subplots(2 * len(lines), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
        for number, (one, channel, title) in enumerate(lines):
            line, strip = axes[2 * number : 2 * number + 2]
            _draw_line(line, one, channel, limit)
            _draw_strip(strip, one.relevance[channel : channel + 1], one.edges, limit)
            line.set_ylabel(one.names[channel] or "value", color=GREY)
            if title and channel == 0:
                line.set_title(title, loc="left", fontweight="bold")
        axes[-1].set_xlabel(shown[0].unit, color=GREY)
        clipped = bool(clip_note(shown[0].relevance, limit))
        colour_bar(canvas, axes, limit, scene.unit, clipped, fraction=0.03, aspect=25, pad=0.015)

    height = 1.15 * len(lines) if len(lines) > 1 else 2.4
    return Drawing(_WIDTH, height + 1.3, draw, _notes(scene, name, sample, shown, limit), sample=sample)


def _notes(scene: Scene, name: str, sample: int, shown: list[Series], limit: float) -> tuple[str, ...]:
    """Say how steps were put together, and where colours end."""
    first = shown[0]
    steps = scene.relevance(name, sample).size // len(first.relevance)
    bins = first.relevance.shape[1]
    joined = f"{steps:,} steps in {bins:,} bins, relevance added up within each." if bins < steps else ""
    return tuple(note for note in (joined, clip_note(first.relevance, limit)) if note)


def _draw_line(axes: Any, one: Series, channel: int, limit: float) -> None:
    """Draw the values on a pale ground of relevance: as a line, or as a band from the smallest to the largest in each
    bin."""
    assert one.low is not None and one.high is not None
    low, high, relevance = one.low[channel], one.high[channel], one.relevance[channel]
    middle = (one.edges[:-1] + one.edges[1:]) / 2
    colours = SIGNED(scale(limit)(relevance))
    dark = colours[:, :3] * 0.78  # white would not be seen on white: relevance 0 is grey
    if np.array_equal(low, high):
        ends = (low[:-1] + low[1:]) / 2
        borders = (middle[:-1] + middle[1:]) / 2
        x, y = np.r_[middle[0], borders, middle[-1]], np.r_[low[0], ends, low[-1]]
        paths = [[(x[i], y[i]), (middle[i], low[i]), (x[i + 1], y[i + 1])] for i in range(len(low))]
        axes.add_collection(LineCollection(paths, colors=dark, linewidths=2.2, capstyle="round"))
    else:
        paths = [[(m, a), (m, b)] for m, a, b in zip(middle, low, high)]
        axes.add_collection(LineCollection(paths, colors=dark, linewidths=1.1))
    axes.set_xlim(one.edges[0], one.edges[-1])
    known = np.concatenate([low, high])
    known = known[np.isfinite(known)] if np.isfinite(known).any() else np.zeros(1)
    least, most = float(known.min()), float(known.max())
    span = (most - least) or 1.0
    axes.set_ylim(least - 0.06 * span, most + 0.06 * span)
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)


def _draw_strip(axes: Any, relevance: np.ndarray, edges: np.ndarray, limit: float) -> None:
    axes.pcolormesh(edges, np.arange(len(relevance) + 1), relevance, cmap=SIGNED, norm=scale(limit), rasterized=True)
    axes.set_yticks([])
    axes.set_ylim(len(relevance), 0)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cccccc")


def _strips(scene: Scene, name: str, sample: int, shown: list[Series], limit: float) -> Drawing:
    """Draw values and relevance of each channel as rows of colours, and the sum over the channels below them."""
    count = len(shown[0].relevance)
    tall = float(np.clip(0.16 * count, 1.0, 3.6))
    kinds = (
        ["value", *["relevance", "sum"] * len(shown)] if shown[0].low is not None else ["relevance", "sum"] * len(shown)
    )
    heights = [0.9 if kind == "sum" else tall for kind in kinds]

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(len(kinds), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
        strips = [place for place, kind in zip(axes, kinds) if kind == "relevance"]
        if kinds[0] == "value":
            _draw_values(canvas, axes[0], shown[0])
        for k, (one, place) in enumerate(zip(shown, strips, strict=True)):
            _draw_strip(place, one.relevance, one.edges, limit)
            place.set_title(scene.heading(sample, k) if len(shown) > 1 else "relevance", loc="left")
            _name_channels(place, one)
            _draw_total(axes[kinds.index("sum") + 2 * k], one)
        axes[-1].set_xlabel(shown[0].unit, color=GREY)
        colour_bar(canvas, strips, limit, scene.unit, bool(clip_note(shown[0].relevance, limit)),
                   fraction=0.03, aspect=20, pad=0.015)  # fmt: skip

    height = sum(heights) + 0.35 * len(kinds) + 1.2
    return Drawing(_WIDTH, height, draw, _notes(scene, name, sample, shown, limit), sample=sample)


def _draw_values(canvas: Any, axes: Any, one: Series) -> None:
    """Draw the values themselves in grey, the mean of each bin, on a scale that a few extremes do not stretch."""
    assert one.low is not None and one.high is not None
    values = (one.low + one.high) / 2
    low, high = np.nanquantile(values, [0.005, 0.995])
    mesh = axes.pcolormesh(
        one.edges, np.arange(len(values) + 1), values, cmap="Greys", vmin=low, vmax=high, rasterized=True
    )
    bar = canvas.colorbar(mesh, ax=axes, fraction=0.03, aspect=20, pad=0.015)
    bar.outline.set_edgecolor(PALE)
    bar.ax.tick_params(labelsize=8)
    axes.set_ylim(len(values), 0)
    axes.set_title("value", loc="left")
    _name_channels(axes, one)


def _draw_total(axes: Any, one: Series) -> None:
    total = one.relevance.sum(axis=0)
    axes.fill_between(one.edges, np.r_[total, total[-1]], step="post", color="#b5b9bf", linewidth=0)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylabel("sum over\nchannels", color=GREY, fontsize=8)
    axes.set_xlim(one.edges[0], one.edges[-1])
    axes.tick_params(axis="x", length=0)


def _name_channels(axes: Any, one: Series) -> None:
    count = len(one.relevance)
    if count <= 24:
        axes.set_yticks(np.arange(count) + 0.5, [n or "" for n in one.names], fontsize=7.5, color=INK)
        return
    ticks = np.linspace(0, count - 1, 6).round().astype(int)
    axes.set_yticks(ticks + 0.5, [str(tick) for tick in ticks])
    axes.set_ylabel("channel", color=GREY)
