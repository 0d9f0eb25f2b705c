"""Statistics over samples: bootstrap intervals of a mean, and of the paired difference of two."""

from __future__ import annotations

import dataclasses

import numpy as np

RESAMPLES = 2000
_CHUNK = 1 << 22


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over samples with its bootstrap interval."""

    mean: float
    low: float
    high: float
    """Ends of the interval; NaN if fewer than two samples have a value."""
    samples: int
    """Number of samples that have a value."""


def bootstrap(values: np.ndarray, confidence: float, seed: int) -> Interval:
    """Estimate the mean of values [N] and its percentile interval over resampled samples; NaN values are left out.

    The same number of values and the same seed give the same resamples, so that intervals are reproducible.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return Interval(np.nan, np.nan, np.nan, 0)
    if len(known) == 1:
        return Interval(float(known[0]), np.nan, np.nan, 1)
    means = _resampled_means(known, np.random.default_rng(seed))
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(known.mean()), float(low), float(high), len(known))


def paired(first: np.ndarray, second: np.ndarray, confidence: float, seed: int) -> Interval:
    """Estimate the mean difference of two measures of the same samples, first − second.

    The difference is taken sample by sample, so that what makes a sample hard for both drops out.
    """
    return bootstrap(first - second, confidence, seed)


def _resampled_means(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Compute the means of `RESAMPLES` draws with replacement, a part at a time to bound the memory."""
    at_once = max(1, min(RESAMPLES, _CHUNK // len(values)))
    parts = []
    for start in range(0, RESAMPLES, at_once):
        count = min(at_once, RESAMPLES - start)
        parts.append(values[random.integers(0, len(values), (count, len(values)))].mean(axis=1))
    return np.concatenate(parts)
