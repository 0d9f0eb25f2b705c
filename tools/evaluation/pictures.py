"""Bundled pictures as arrays for the bundled image classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2] / "models"


def bundled_pictures() -> np.ndarray:
    """Read the bundled pictures, [N, 3, 224, 224] of 0 to 255."""
    files = sorted((ROOT / "pictures").glob("*.*g"))
    resized = (Image.open(f).convert("RGB").resize((224, 224)) for f in files)
    return np.stack([np.asarray(picture, np.float32).transpose(2, 0, 1) for picture in resized])


def cut_pictures() -> np.ndarray:
    """Read the bundled pictures twice, mirrored: the whole, and the middle 176 pixels enlarged to 224."""
    every = bundled_pictures()[..., ::-1]
    middle = every[..., 24:200, 24:200].transpose(0, 2, 3, 1).astype(np.uint8)
    enlarged = [np.asarray(Image.fromarray(one).resize((224, 224)), np.float32).transpose(2, 0, 1) for one in middle]
    return np.ascontiguousarray(np.concatenate([every, np.stack(enlarged)]))
