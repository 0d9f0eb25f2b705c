"""Deletion test on the bundled image classifier and pictures: 14 × 14 patches are set to a picture's mean colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tools.defaults.measure import deletion_areas

ROOT = Path(__file__).parents[2] / "models"
PATCH, STEPS = 16, 20


def measure_pictures() -> dict[str, np.ndarray]:
    """Give the deletion area of every bundled picture, by composite."""
    path = next((ROOT / "efficientnet_lite0").glob("*.onnx"))
    return deletion_areas(path, bundled_pictures(), "patches", PATCH, "mean", STEPS)


def bundled_pictures() -> np.ndarray:
    """Read the bundled pictures, [N, 3, 224, 224] of 0 to 255."""
    files = sorted((ROOT / "pictures").glob("*.*g"))
    resized = (Image.open(f).convert("RGB").resize((224, 224)) for f in files)
    return np.stack([np.asarray(picture, np.float32).transpose(2, 0, 1) for picture in resized])
