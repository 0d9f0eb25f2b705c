"""Leave-one-out: the drop of the score as each unit is removed alone, and how far relevance agrees with it."""

from __future__ import annotations

import numpy as np

from onnxlrp.evaluation.removal import Removal

_MASKS = 1 << 24
"""Most elements in the masks that are held at once."""


def leave_one_out(removal: Removal) -> np.ndarray:
    """Compute the drop of the score for each unit that is removed alone (occlusion), float64 [N, units].

    Units that a sample has not are 0.
    """
    present = removal.units.present
    samples, units = np.nonzero(present)
    whole = removal.scores(np.arange(removal.count), np.zeros_like(present))
    drops = np.zeros(present.shape)
    at_once = max(1, _MASKS // present.shape[1])
    for start in range(0, len(units), at_once):
        rows, alone = samples[start : start + at_once], units[start : start + at_once]
        masks = np.zeros((len(rows), present.shape[1]), bool)
        masks[np.arange(len(rows)), alone] = True
        drops[rows, alone] = whole[rows] - removal.scores(rows, masks)
    return drops


def linear_correlation(first: np.ndarray, second: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Correlate two values of the units of each sample (Pearson), [N]; NaN where one of them is constant."""
    rows = zip(first, second, present, strict=True)
    return np.array([_pearson(a[there], b[there]) for a, b, there in rows])


def rank_correlation(first: np.ndarray, second: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Correlate the ranks of two values of the units of each sample (Spearman, ties share their mean rank), [N]."""
    rows = zip(first, second, present, strict=True)
    return np.array([_pearson(ranks(a[there]), ranks(b[there])) for a, b, there in rows])


def ranks(values: np.ndarray) -> np.ndarray:
    """Rank values from 0; equal ones share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def _pearson(first: np.ndarray, second: np.ndarray) -> float:
    if len(first) < 2 or not (np.isfinite(first).all() and np.isfinite(second).all()):
        return np.nan
    a, b = first - first.mean(), second - second.mean()
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else np.nan
