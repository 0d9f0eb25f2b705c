"""Relevance by channel and by region over all of scikit-learn's digits: what speaks for each digit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from onnxlrp.concepts.study_concepts import concepts_of

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn" / "digits_cnn.torchscript.onnx"
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
BANDS = np.array([0, 0, 0, 1, 1, 2, 2, 2])
"""Band of each of the 8 rows, and of the 8 columns."""


def shares_of_digits() -> list[str]:
    """Compute a line of the table for each digit: shares of nine regions, and the channels that count most."""
    digits = load_digits()
    images = digits.images[:, None].astype(np.float32)
    study = concepts_of(MODEL, {"image": images}, target=digits.target, batch_size=256)
    regions = 3 * BANDS[:, None] + BANDS[None]
    lines = []
    for digit in range(10):
        found = study.by_region(regions, target=digit, count=3)
        cells = " | ".join(f"{share:+.0%}" for share in found.whole)
        channels = ", ".join(_channel(one, row) for one, row in zip(found.channels, found.shares, strict=True))
        lines.append(f"| {digit} | {cells} | {channels} |")
    return lines


def _channel(channel: int, shares: np.ndarray) -> str:
    """Name a channel, its share of the relevance of the pixels, and the region where most of that lies."""
    row, column = divmod(int(shares.argmax()), 3)
    return f"{channel} ({shares.sum():+.0%}, {ROWS[row]} {COLUMNS[column]})"
