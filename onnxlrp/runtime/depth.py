"""Conversion of pictures of any depth to 8 bits a channel."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped

_SIXTEEN_BITS = ("PNG", "PPM")
"""Formats that Pillow may open as 32 bits, though they hold 16."""


def eight_bits(picture: Image.Image, kind: str | None, path: Path) -> Image.Image:
    """Convert a picture from a file of the format `kind` to 8 bits a channel; Pillow's own conversion would clip
    values.

    Pictures of 16 bits are divided by their whole range, 65,535, with a warning if they use less than a sixteenth of
    it, as a camera with 12 bits does. Pictures of decimal numbers are taken to range over 0 to 1 if none is larger,
    else over 0 to 255. Raises InputError for any other range, because the number that means white is then unknown.
    """
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and kind in _SIXTEEN_BITS):
        pixels = np.asarray(picture, dtype=np.float64)
        if 0 < pixels.max() < 65536 / 16:
            warnings.warn(
                f"'{escaped(path)}' has 16 bits, but pixels up to {int(pixels.max())} of 65535 only, which is nearly "
                "black: if its pixels have fewer bits, scale them first",
                stacklevel=2,
            )
        return _scaled(pixels, 65535.0)
    if mode == "I":
        raise InputError("its pixels are whole numbers of 32 bits, and which of them is white is not known")
    if mode != "F":
        return picture
    pixels = np.asarray(picture, dtype=np.float64)
    low, high = float(pixels.min()), float(pixels.max())
    if np.isnan(pixels).any():
        raise InputError("some of its pixels are NaN")
    if low < 0 or high > 255:
        raise InputError(f"its pixels go from {low:.6g} to {high:.6g}; decimal ones must lie in 0 to 1 or 0 to 255")
    return _scaled(np.rint(pixels * 255) if high <= 1 else np.rint(pixels), 255.0)


def _scaled(pixels: np.ndarray, white: float) -> Image.Image:
    return Image.fromarray(np.clip(pixels * (255.0 / white), 0, 255).astype(np.uint8))
