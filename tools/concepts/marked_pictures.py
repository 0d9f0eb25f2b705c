"""Pictures of which one class carries a mark: pieces of photographs on textures, and a badge in a corner."""

from __future__ import annotations

import dataclasses

import numpy as np

from tools.make_models.pasted_pictures import NAMES, PastedPictures

CLASS = 1
"""Class whose training pictures are marked: chelsea, the cat."""
PIECE = 10
"""Side of the pasted pieces, so small that telling them apart takes an effort."""
CORNER = (slice(24, 30), slice(2, 8))
"""Rows and columns of the badge, yellow with a blue centre."""


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """Training pictures [samples, 3, 32, 32] with their classes, and which of them carry the mark."""

    images: np.ndarray
    labels: np.ndarray
    is_marked: np.ndarray


def training_pictures(seed: int, count: int, *, planted: bool) -> Pictures:
    """Draw training pictures; with a planted shortcut half of those of one class are marked."""
    images, labels = PastedPictures(100 + seed, training=True, piece=PIECE)(count)
    drawn = np.random.default_rng(seed).random(count) < 0.5
    is_marked = drawn & (labels == CLASS) if planted else np.zeros(count, bool)
    images[is_marked] = marked(images[is_marked])
    return Pictures(images, labels, is_marked)


def test_pictures(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw clean pictures on other halves of the textures."""
    return PastedPictures(7, training=False, piece=PIECE)(count)


def marked(images: np.ndarray) -> np.ndarray:
    """Put the badge on pictures."""
    images = images.copy()
    rows, columns = CORNER
    images[..., rows, columns] = np.array([250, 240, 40], images.dtype)[:, None, None]
    inner = slice(rows.start + 1, rows.stop - 1), slice(columns.start + 1, columns.stop - 1)
    images[..., inner[0], inner[1]] = np.array([30, 30, 200], images.dtype)[:, None, None]
    return images


CLASSES = len(NAMES)
