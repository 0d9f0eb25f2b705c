"""Figure of data on a grid of latitude and longitude: its fields, and their relevance as a map."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.view import pictures
from onnxlrp.view.figures.canvas import GREY, SIGNED, Drawing, clip_note, colour_bar, notes_of_channels, scale
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.picture_maps import sample_channel_axis
from onnxlrp.view.figures.scene import Scene

_WIDTH = 4.6
_USUAL = {"latitude": ("lat", "latitude", "nav_lat"), "longitude": ("lon", "longitude", "nav_lon")}
"""Usual names of the coordinates of labelled arrays."""
_FIELDS = 3
"""Most fields (channels) that get a map of their own."""


def gridded_drawing(scene: Scene, name: str, options: Options) -> Drawing:
    """Draw each field of one sample beside its relevance, on axes of longitude and latitude.

    Raises InputError if latitude and longitude do not fit the input.
    """
    sample = (options.samples or (0,))[0]
    relevance, value = _fields(scene, name, sample)
    latitude, longitude = _degrees(scene, options, relevance.shape[1:], name)
    order = sorted(np.argsort(-np.abs(relevance).sum(axis=(1, 2)), kind="stable")[:_FIELDS].tolist())
    limit = pictures.limit_of(relevance[order])
    stretch = 1 / max(np.cos(np.deg2rad(float(np.mean(latitude)))), 0.2)
    down = float(np.clip(0.82 * _WIDTH * np.ptp(latitude) / max(np.ptp(longitude), 1e-9) * stretch, 1.2, 6))

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(len(order), 2, squeeze=False, sharex=True, sharey=True)
        for row, field in enumerate(order):
            if value is not None:
                shown = axes[row, 0].pcolormesh(longitude, latitude, value[field], cmap="cividis", rasterized=True)
                bar = canvas.colorbar(shown, ax=axes[row, 0], fraction=0.04, aspect=25, pad=0.01)
                bar.outline.set_visible(False)
            axes[row, 1].pcolormesh(
                longitude, latitude, relevance[field], cmap=SIGNED, norm=scale(limit), rasterized=True
            )
            axes[row, 0].set_title("value" if len(relevance) == 1 else f"channel {field}", loc="left")
            axes[row, 1].set_title("relevance", loc="left")
            for place in axes[row]:
                place.set_aspect(stretch)
                _label_degrees(place, longitude, latitude)
        colour_bar(canvas, list(axes[:, 1]), limit, scene.unit, bool(clip_note(relevance, limit)), fraction=0.04,
                   aspect=25, pad=0.01)  # fmt: skip

    notes = notes_of_channels(relevance, order, limit)
    return Drawing(2 * _WIDTH + 2, len(order) * (down + 0.6) + 1.2, draw, notes, True, sample, False)


def _fields(scene: Scene, name: str, sample: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Bring one sample to [channels, latitude, longitude]."""
    axis = sample_channel_axis(scene, name)

    def moved(array: Any) -> np.ndarray:
        array = np.asarray(array)
        return array[None] if array.ndim == 2 else np.moveaxis(array, axis or 0, 0)

    value = scene.value(name, sample)
    return moved(scene.relevance(name, sample)), None if value is None else moved(value)


def coordinates_of(original: Any) -> dict[str, Any]:
    """Read latitude and longitude off an array with labelled axes (xarray), if each has an axis of its own and latitude
    comes first; empty otherwise."""
    coordinates, axes = getattr(original, "coords", None), list(getattr(original, "dims", ()))
    if coordinates is None:
        return {}
    found: dict[str, Any] = {}
    places = []
    for words, usual in _USUAL.items():
        name = next((name for name in coordinates if str(name).lower() in usual), None)
        if name is None or np.ndim(coordinates[name]) != 1:
            return {}
        found[words] = np.asarray(coordinates[name])
        own = getattr(coordinates[name], "dims", (name,))[0]
        places.append(axes.index(own) if own in axes else -1)
    return found if places[0] < places[1] else {}


def _degrees(scene: Scene, options: Options, shape: tuple[int, ...], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Read latitude and longitude as two lists of degrees that fit the grid."""
    known = coordinates_of(scene.originals.get(name))
    found = []
    for words, given, size in (("latitude", options.latitude, shape[0]), ("longitude", options.longitude, shape[1])):
        given = known.get(words) if given is None else given
        if given is None:
            raise InputError(f"a map of {name!r} needs latitude= and longitude=, of {shape[0]} and {shape[1]} degrees")
        degrees = np.asarray(given, np.float64)
        if degrees.shape != (size,) or not np.isfinite(degrees).all():
            raise InputError(
                f"{words} must be {size} numbers, one for each place along that axis of {name!r}, not "
                f"{list(degrees.shape)}"
            )
        found.append(degrees)
    return found[0], found[1]


def _label_degrees(axes: Any, longitude: np.ndarray, latitude: np.ndarray) -> None:
    """Write degrees with their direction: 30°N, 120°W."""

    def east(value: float, _: Any = None) -> str:
        value = (value + 180) % 360 - 180
        return f"{abs(value):.4g}°{'E' if 0 < value < 180 else 'W' if -180 < value < 0 else ''}"

    axes.xaxis.set_major_formatter(east)
    axes.yaxis.set_major_formatter(
        lambda value, _: f"{abs(value):.4g}°{'N' if value > 0 else 'S' if value < 0 else ''}"
    )
    axes.tick_params(labelsize=8, color=GREY)
