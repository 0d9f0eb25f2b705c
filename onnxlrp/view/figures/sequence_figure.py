"""Figure of an image sequence or a volume: some frames with their relevance, and the relevance of every frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.runtime.input_kinds import channel_axis
from onnxlrp.view import pictures, shrinking
from onnxlrp.view.figures.canvas import AGAINST, FOR, GREY, SIGNED, Drawing, clip_note, colour_bar, scale
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.picture_maps import SMALL
from onnxlrp.view.figures.scene import Scene

_SHOWN = 8
_SIDE = 224
"""Least side of an animation in pixels."""


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Frames of one sample and their relevance, both [frames, height, width]."""

    pictures: np.ndarray
    """Frames in grey, uint8."""
    relevance: np.ndarray

    @property
    def limit(self) -> float:
        """End of the scale for all frames."""
        return pictures.limit_of(self.relevance)


def frames_of(scene: Scene, name: str, sample: int, options: Options) -> Frames:
    """Bring one sample of a sequence to frames, its channels added up (relevance) or averaged (values).

    Raises InputError if a sample has neither three nor four axes.
    """
    relevance = scene.relevance(name, sample)
    value = scene.value(name, sample)
    array = np.asarray(scene.inputs.get(name, scene.explanation.relevance[name]))
    if relevance.ndim == 4:
        channels = channel_axis(scene.specs[name], array) if name in scene.specs else 1
        assert channels is not None
        relevance = relevance.sum(axis=channels - 1, dtype=np.float64)
        value = None if value is None else np.asarray(value, np.float64).mean(axis=channels - 1)
    elif relevance.ndim != 3:
        raise InputError(f"the input {name!r} is no sequence of pictures: leave kind out")
    if options.time_axis is not None and relevance.ndim == 3 and array.ndim == 4:
        relevance = np.moveaxis(relevance, options.time_axis % array.ndim - 1, 0)
        value = None if value is None else np.moveaxis(np.asarray(value), options.time_axis % array.ndim - 1, 0)
    shown = np.zeros(relevance.shape) if value is None else np.nan_to_num(np.asarray(value, np.float64))
    low, high = float(shown.min()), float(shown.max())
    return Frames(np.rint((shown - low) * (255 / ((high - low) or 1))).astype(np.uint8), relevance)


def sequence_drawing(scene: Scene, name: str, options: Options) -> Drawing:
    """Draw up to eight frames, evenly chosen, with their relevance, above bars of the relevance of every frame."""
    sample = (options.samples or (0,))[0]
    frames = frames_of(scene, name, sample, options)
    count, height, width = frames.relevance.shape
    chosen = np.unique(np.linspace(0, count - 1, min(count, _SHOWN)).round().astype(int))
    across = max(min(9.6 / len(chosen), 2.0), 1.1)
    down = across * height / width
    unit = "time in seconds" if options.sampling_rate else "frame"

    def draw(canvas: Any) -> None:
        grid = canvas.add_gridspec(3, len(chosen), height_ratios=[down, down, 1.1])
        tiles = []
        for column, frame in enumerate(chosen):
            tiles.append([canvas.add_subplot(grid[row, column]) for row in (0, 1)])
            _draw_frame(tiles[-1], frames, int(frame), frames.limit)
            moment = frame / options.sampling_rate if options.sampling_rate else frame
            tiles[-1][0].set_title(f"{moment:.4g}", fontsize=8.5, color=GREY)
        tiles[0][0].set_ylabel(unit, color=GREY, fontsize=8.5)
        bars = canvas.add_subplot(grid[2, :])
        _draw_bars(bars, frames, options.sampling_rate, unit)
        colour_bar(canvas, [one for pair in tiles for one in pair], frames.limit, scene.unit,
                   bool(clip_note(frames.relevance, frames.limit)), fraction=0.025, aspect=22, pad=0.01)  # fmt: skip

    clipped = clip_note(frames.relevance, frames.limit)
    notes = (clipped,) if clipped else ()
    return Drawing(len(chosen) * (across + 0.05) + 1.2, 2 * down + 2.6, draw, notes, sample=sample, all_targets=False)


def _draw_frame(axes: list[Any], frames: Frames, index: int, limit: float) -> None:
    axes[0].imshow(frames.pictures[index], cmap="gray", vmin=0, vmax=255)
    if min(frames.relevance.shape[1:]) < SMALL:
        axes[1].imshow(frames.relevance[index], cmap=SIGNED, norm=scale(limit), interpolation="nearest")
    else:
        axes[1].imshow(overlaid(frames, index, limit))
    for one in axes:
        one.set_xticks([])
        one.set_yticks([])
        for spine in one.spines.values():
            spine.set_visible(True)
            spine.set_color("#cccccc")


def _draw_bars(axes: Any, frames: Frames, rate: float | None, unit: str) -> None:
    totals = frames.relevance.sum(axis=(1, 2), dtype=np.float64)
    x = np.arange(len(totals)) / (rate or 1.0)
    axes.bar(x, totals, width=0.8 / (rate or 1.0), color=[FOR if total > 0 else AGAINST for total in totals])
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel(unit, color=GREY)
    axes.set_ylabel("sum over\nthe frame", color=GREY, fontsize=8)
    axes.margins(x=0.01)


def overlaid(frames: Frames, index: int, limit: float) -> Image.Image:
    """Lay the relevance of one frame over it."""
    relevance = shrinking.shrunk(frames.relevance[index])
    return pictures.overlay(Image.fromarray(frames.pictures[index]), relevance, limit)


def animation(scene: Scene, name: str, options: Options) -> list[Image.Image]:
    """Draw every frame beside its relevance, with a line below that shows how far the sequence has come."""
    frames = frames_of(scene, name, (options.samples or (0,))[0], options)
    return [_moment(frames, index) for index in range(len(frames.relevance))]


def _moment(frames: Frames, index: int) -> Image.Image:
    small = min(frames.relevance.shape[1:]) < SMALL
    right = pictures.heatmap(frames.relevance[index], frames.limit) if small else overlaid(frames, index, frames.limit)
    both = [pictures.enlarged(one, _SIDE) for one in (Image.fromarray(frames.pictures[index]).convert("RGB"), right)]
    gap, (width, height) = 8, both[0].size
    sheet = Image.new("RGB", (2 * width + gap, height + 6), "white")
    sheet.paste(both[0], (0, 0))
    sheet.paste(both[1], (width + gap, 0))
    done = round((index + 1) / len(frames.relevance) * sheet.width)
    sheet.paste("#9a9a9a", (0, height + 3, done, height + 6))
    return sheet
