"""Pictures and tables on disk for the benchmark of `Explainer.map`, drawn at random and equal each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 400, 300
_QUALITY = 90
_SCALES = (2, 4, 8, 16, 32, 64, 128, 256)
"""Widths of the grids of noise that a picture adds up, the coarsest first."""


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write JPEG files whose detail falls with its size, as in photographs."""
    random = np.random.default_rng(0)
    paths = [folder / f"{index:04}.jpg" for index in range(count)]
    for path in paths:
        picture = sum(_noise(random, width) / width**0.9 for width in _SCALES)
        scaled = (picture - np.mean(picture)) / np.std(picture) * 60 + 128
        Image.fromarray(scaled.clip(0, 255).astype(np.uint8)).save(path, quality=_QUALITY)
    return paths


def _noise(random: np.random.Generator, width: int) -> np.ndarray:
    """Draw a grid of noise and stretch it to a picture, [height, width, 3]."""
    grid = random.normal(size=(3, max(width * HEIGHT // WIDTH, 1), width)).astype(np.float32)
    planes = [Image.fromarray(plane).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC) for plane in grid]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def write_tables(folder: Path, rows: int, columns: int) -> dict[str, Path]:
    """Write the same rows of float32 as a .csv and as a .parquet file, by the kind of file."""
    import pandas

    values = np.random.default_rng(1).normal(size=(rows, columns)).astype(np.float32)
    frame = pandas.DataFrame(values, columns=[f"c{index}" for index in range(columns)])
    paths = {kind: folder / f"rows{columns}.{kind}" for kind in ("csv", "parquet")}
    frame.to_csv(paths["csv"], index=False)
    frame.to_parquet(paths["parquet"], index=False)
    return paths
