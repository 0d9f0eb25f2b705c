"""Superpixels: regions of like colour, by k-means over colour and place from a grid (SLIC, Achanta et al. 2012)."""

from __future__ import annotations

import numpy as np

_ROUNDS = 5
_COMPACT = 0.5
"""Weight of the place against colour: 1 cell of the grid counts as much as this many standard deviations of colour."""
_NEIGHBOURS = [(down, along) for down in (-1, 0, 1) for along in (-1, 0, 1)]


def superpixels(pictures: np.ndarray, side: int) -> np.ndarray:
    """Divide pictures [N, height, width, channels] into regions of about side × side pixels, int [N, height, width].

    A region holds the pixels that are nearest to its mean colour and place, so that it need not be in one piece.
    Regions of each picture are numbered from 0.
    """
    return np.stack([_regions(picture.astype(np.float64), side) for picture in pictures])


def _regions(picture: np.ndarray, side: int) -> np.ndarray:
    height, width, channels = picture.shape
    rows, columns = -(-height // side), -(-width // side)
    down, along = np.mgrid[:height, :width]
    scale = picture.reshape(-1, channels).std() or 1.0
    features = np.concatenate([picture / scale, np.stack([down, along], axis=-1) * _COMPACT / side], axis=-1)
    home = (down // side, along // side)
    labels = home[0] * columns + home[1]
    for _ in range(_ROUNDS):
        means = _means(features, labels, rows * columns)
        labels = _nearest(features, means, home, (rows, columns))
    return np.unique(labels, return_inverse=True)[1].reshape(height, width)


def _means(features: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Average features [height, width, F] over each region, [count, F]; an empty region is infinitely far away."""
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=count)
    sums = np.stack([np.bincount(flat, one.ravel(), count) for one in np.moveaxis(features, -1, 0)], axis=1)
    return np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], np.inf)


def _nearest(
    features: np.ndarray, means: np.ndarray, home: tuple[np.ndarray, np.ndarray], grid: tuple[int, int]
) -> np.ndarray:
    """Give each pixel the nearest region among those that began in its cell of the grid and the eight around it."""
    best = np.full(home[0].shape, np.inf)
    labels = np.zeros(home[0].shape, np.int64)
    for down, along in _NEIGHBOURS:
        row = np.clip(home[0] + down, 0, grid[0] - 1)
        column = np.clip(home[1] + along, 0, grid[1] - 1)
        region = row * grid[1] + column
        distance = ((features - means[region]) ** 2).sum(axis=-1)
        nearer = distance < best
        best[nearer], labels[nearer] = distance[nearer], region[nearer]
    return labels
