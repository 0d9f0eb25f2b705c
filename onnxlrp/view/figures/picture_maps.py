"""Pictures and their maps of relevance as arrays: original sizes, enlargement, smoothing, opacity."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onnxlrp.runtime.files import open_picture
from onnxlrp.runtime.input_kinds import channel_axis
from onnxlrp.view import pictures, shrinking
from onnxlrp.view.figures.scene import Scene

_MOST = 2_400_000
"""Most pixels that are drawn of a picture: more than any figure shows of it."""
SMALL = 48
"""Least side of a picture over which a map can be laid without hiding it."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pictured:
    """A picture and the relevance of its pixels, both [height, width] of the same size."""

    picture: np.ndarray
    """Grey [H, W] or coloured [H, W, 3] picture, uint8."""
    relevance: np.ndarray
    """Relevance [H, W], summed over the channels; enlarged where the model saw a smaller picture."""
    size: tuple[int, int]
    """Width and height of the picture as it was given, which axes are labelled by."""
    raw: np.ndarray
    """Relevance [h, w] of the pixels that the model saw."""

    @property
    def is_small(self) -> bool:
        """True if the picture is so small that a map would hide it."""
        return min(self.raw.shape) < SMALL


def pictured(scene: Scene, name: str, sample: int, k: int = 0) -> Pictured:
    """Bring a picture and its relevance to one size: that of the file if the picture came from one."""
    raw = relevance_map(scene, name, scene.relevance(name, sample, k))
    picture = original(scene, name, sample)
    if picture is None:
        return Pictured(_own_picture(scene, name, sample, raw.shape), raw, (raw.shape[1], raw.shape[0]), raw)
    size = picture.size
    width, height = _drawn_size(max(size[0], raw.shape[1]), max(size[1], raw.shape[0]))
    shown = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))
    return Pictured(shown, enlarged_map(raw, width, height), size, raw)


def relevance_map(scene: Scene, name: str, relevance: np.ndarray) -> np.ndarray:
    """Sum one sample's relevance over its channels -> [H, W]."""
    if relevance.ndim == 2:
        return shrinking.shrunk(relevance)
    axis = sample_channel_axis(scene, name)
    return shrinking.shrunk(np.moveaxis(relevance, 0 if axis is None else axis, -1), channels=True)


def sample_channel_axis(scene: Scene, name: str) -> int | None:
    """Find the axis of one sample of a picture that holds its channels; None if it has none."""
    array = np.asarray(scene.inputs[name]) if name in scene.inputs else scene.explanation.relevance[name]
    spec = scene.specs.get(name)
    if array.ndim == 3 and spec is not None and spec.shape is not None and spec.shape[0] in (3, 4):
        return 0  # a picture without a batch axis
    axis = channel_axis(spec, array) if spec is not None else (None if array.ndim == 3 else 1)
    return None if axis is None else axis - 1


def original(scene: Scene, name: str, sample: int) -> Image.Image | None:
    """Open the picture of a sample as it was given; None if it came as an array, or if its file is gone."""
    given = scene.originals.get(name)
    source: Any = given[sample] if isinstance(given, (list, tuple)) and sample < len(given) else None
    if isinstance(source, (str, Path)):
        try:
            return open_picture(Path(source))
        except Exception:  # the file may have changed since it was explained; the model's own view is shown then
            return None
    return source.convert("RGB") if isinstance(source, Image.Image) else None


def enlarged_map(relevance: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bring a map [h, w] to another size, smoothly, with its values unchanged in the mean."""
    if relevance.shape == (height, width):
        return relevance
    known = Image.fromarray(np.nan_to_num(relevance).astype(np.float32))
    return np.asarray(known.resize((width, height), Image.Resampling.BICUBIC if width * height > relevance.size
                                   else Image.Resampling.BOX))  # fmt: skip


def laid_over(one: Pictured, limit: float) -> np.ndarray:
    """Lay relevance over the picture in pale grey -> [H, W, 3] uint8: the stronger it is, the more opaque."""
    grey = one.picture if one.picture.ndim == 2 else np.asarray(Image.fromarray(one.picture).convert("L"))
    return np.asarray(pictures.overlay(Image.fromarray(grey), one.relevance, limit))


def smoothed(relevance: np.ndarray, share: float = 0.03) -> np.ndarray:
    """Smooth a map [H, W] by a Gaussian as wide as `share` of its longer side."""
    sigma = max(share * max(relevance.shape), 0.5)
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    result = np.nan_to_num(relevance).astype(np.float64)
    for axis in (0, 1):
        padded = np.pad(result, [(reach, reach) if one == axis else (0, 0) for one in (0, 1)], mode="reflect" if
                        reach < result.shape[axis] else "edge")  # fmt: skip
        result = np.apply_along_axis(np.convolve, axis, padded, kernel / kernel.sum(), mode="valid")
    return result


def half_level(relevance: np.ndarray) -> float | None:
    """Find the value above which half of the positive relevance of a map lies; None if there is none."""
    positive = np.sort(relevance[relevance > 0])[::-1]
    if not positive.size:
        return None
    return float(positive[int(np.searchsorted(np.cumsum(positive), positive.sum() / 2))])


def _drawn_size(width: int, height: int) -> tuple[int, int]:
    shrink = min(1.0, (_MOST / (width * height)) ** 0.5)
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _own_picture(scene: Scene, name: str, sample: int, shape: tuple[int, ...]) -> np.ndarray:
    """Draw what the model was given as a picture: its smallest value black, its largest white."""
    value = scene.value(name, sample)
    if value is None:
        return np.full(shape, 255, np.uint8)
    axis = sample_channel_axis(scene, name)
    array = np.asarray(value) if axis is None else np.moveaxis(np.asarray(value), axis, -1)
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[-1] in (1, 3)):
        shown = Image.fromarray(array if array.ndim == 2 or array.shape[-1] == 3 else array[..., 0])
    else:
        shown = pictures.picture_of(array)
    height, width = shape
    return np.asarray(shown if shown.size == (width, height) else shown.resize((width, height)))
