"""Figure of a picture channel by channel: bands of a satellite, colours, stacked maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.view import pictures, shrinking
from onnxlrp.view.figures.canvas import (
    GREY,
    SIGNED,
    Drawing,
    clip_note,
    colour_bar,
    frame,
    notes_of_channels,
    scale,
    signed,
)
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.picture_maps import sample_channel_axis
from onnxlrp.view.figures.scene import Scene

_MOST = 8
"""Most channels in one figure: those of most relevance."""
_COLOURS = {3: ("red", "green", "blue"), 4: ("red", "green", "blue", "alpha")}


def channels_drawing(scene: Scene, name: str, options: Options) -> Drawing:
    """Draw the values of each channel above their relevance, with its sum, for the first sample that is asked for.

    Raises InputError if the input has no channels.
    """
    axis = sample_channel_axis(scene, name)
    if axis is None:
        raise InputError(f"the input {name!r} has no channels to show one by one: leave kind out")
    sample = (options.samples or (0,))[0]
    relevance = np.moveaxis(scene.relevance(name, sample), axis, 0)
    value = scene.value(name, sample)
    values = None if value is None else np.moveaxis(np.asarray(value), axis, 0)
    order = sorted(np.argsort(-np.abs(relevance).sum(axis=(1, 2)), kind="stable")[:_MOST].tolist())
    limit = pictures.limit_of(relevance[order])
    names = _channel_names(scene, name, len(relevance), value)
    height, width = relevance.shape[1:]
    side = 2.0 if len(order) < 6 else 1.6
    across, down = (side, side * height / width) if width >= height else (side * width / height, side)

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(2, len(order), squeeze=False)
        for column, channel in enumerate(order):
            shown = None if values is None else shrinking.shrunk(values[channel])
            _draw_map(axes[0, column], shown, cmap="gray")
            _draw_map(axes[1, column], shrinking.shrunk(relevance[channel]), cmap=SIGNED, norm=scale(limit))
            axes[0, column].set_title(names[channel])
            total = signed(relevance[channel].sum(dtype=np.float64))
            axes[1, column].set_xlabel(f"Σ {total}", color=GREY, fontsize=8)
        axes[0, 0].set_ylabel("value", color=GREY)
        axes[1, 0].set_ylabel("relevance", color=GREY)
        colour_bar(
            canvas, axes, limit, scene.unit, bool(clip_note(relevance, limit)), fraction=0.04, aspect=25, shrink=0.85
        )

    notes = notes_of_channels(relevance, order, limit)
    return Drawing(max(len(order) * (across + 0.15) + 1.3, 5.0), 2 * down + 1.5, draw, notes, True, sample, False)


def _channel_names(scene: Scene, name: str, count: int, value: Any) -> list[str]:
    if isinstance(scene.originals.get(name), (list, tuple)) and count in _COLOURS:
        return list(_COLOURS[count])
    return [f"channel {index}" for index in range(count)]


def _draw_map(axes: Any, array: np.ndarray | None, **options: Any) -> None:
    frame(axes)
    if array is not None:
        axes.imshow(array, interpolation="nearest" if max(array.shape) < 64 else "antialiased", **options)
