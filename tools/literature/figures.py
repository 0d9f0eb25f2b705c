"""Figures that several examples draw: maps of the world, bars, and curves."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageSequence

LAND = "#b9b3a6"
_COLOURS = ("#b2182b", "#2166ac", "#e08214", "#4d9221", "#542788", "#7a7a7a", "#000000")


def canvas(across: float, down: float, rows: int = 1, columns: int = 1) -> tuple[Any, Any]:
    """Open a figure of this size in inches with a grid of axes."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=(across, down), squeeze=False, layout="constrained")
    return figure, axes


def maps(
    rows: Sequence[tuple[str, np.ndarray, np.ndarray]],
    latitude: np.ndarray,
    longitude: np.ndarray,
    sea: np.ndarray,
    box: np.ndarray,
) -> Any:
    """Draw temperatures and their relevance as maps beside each other, a pair a row; land is grey, the box framed."""
    figure, axes = canvas(9.5, 2.35 * len(rows), len(rows), 2)
    for (title, value, relevance), pair in zip(rows, axes):
        for place, field, words in zip(pair, (value, relevance), ("temperature in K", "relevance")):
            limit = float(np.abs(field[sea]).max())
            shown = np.where(sea, field, np.nan)
            drawn = place.pcolormesh(longitude, latitude, shown, cmap="RdBu_r", vmin=-limit, vmax=limit)
            figure.colorbar(drawn, ax=place, fraction=0.035, pad=0.01)
            place.set_title(f"{title}: {words}", loc="left", fontsize=9)
            _on_earth(place, latitude, longitude, box)
    return figure


def curves(
    x: np.ndarray, lines: Mapping[str, np.ndarray], across: str, up: str, axes: Any, *, names: Sequence[str]
) -> None:
    """Draw named lines over x; `names` lists all lines of the figure, so that each has one colour in every panel."""
    for name, values in lines.items():
        axes.plot(x, values, label=name, color=_COLOURS[names.index(name)], linewidth=1.6)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.legend(frameon=False, fontsize=8)
    _open_frame(axes)


def bars(values: Mapping[str, float], across: str, axes: Any) -> None:
    """Draw named values as lying bars, the first at the top; red above 0, blue below."""
    names = list(values)[::-1]
    colours = [_COLOURS[0 if values[name] > 0 else 1] for name in names]
    axes.barh(names, [values[name] for name in names], color=colours, height=0.7)
    axes.axvline(0, color="#7a7a7a", linewidth=0.8)
    axes.set_xlabel(across)
    axes.tick_params(labelsize=8)
    _open_frame(axes)


def smaller(path: Path) -> bytes:
    """Read a moving picture at half its size, in few colours."""
    with Image.open(path) as moving:
        frames = [one.convert("RGB").reduce(2).quantize(48) for one in ImageSequence.Iterator(moving)]
        duration = moving.info["duration"]
    written = io.BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:], duration=2 * duration, loop=0)
    return written.getvalue()


def _open_frame(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _on_earth(axes: Any, latitude: np.ndarray, longitude: np.ndarray, box: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    half = abs(latitude[1] - latitude[0]) / 2
    places = np.argwhere(box)
    (south, west), (north, east) = places.min(axis=0), places.max(axis=0)
    corner = (longitude[west] - half, latitude[south] - half)
    wide, high = longitude[east] - longitude[west] + 2 * half, latitude[north] - latitude[south] + 2 * half
    axes.add_patch(Rectangle(corner, wide, high, fill=False, linewidth=1.2))
    axes.set_facecolor(LAND)
    axes.set_aspect("equal")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}°E" if value <= 180 else f"{360 - value:.0f}°W")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}°{'N' if value > 0 else 'S' if value else ''}")
    axes.tick_params(labelsize=7)
