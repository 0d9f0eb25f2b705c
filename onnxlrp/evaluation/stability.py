"""Stability: how much an explanation changes as small noise is added to the inputs."""

from __future__ import annotations

import numpy as np

from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.explanation_methods import ExplanationMethod
from onnxlrp.evaluation.units import Units

NOISE = 0.02
"""Standard deviation of the noise, relative to that of the input over all samples."""
DRAWS = 2
"""Number of draws of noise, over which the change is averaged."""


def relative_change(
    method: ExplanationMethod, relevance: np.ndarray, data: EvaluatedData, units: Units, seed: int
) -> np.ndarray:
    """Compute ‖r(x + noise) − r(x)‖ / ‖r(x)‖ over the units' relevance [N, units], [N].

    NaN where the inputs are no numbers that noise could be added to, or where there is no relevance.
    """
    if not any(data.feeds[name].dtype.kind == "f" for name in data.explained):
        return np.full(data.count, np.nan)
    size = np.linalg.norm(relevance, axis=1)
    total = np.zeros(data.count)
    for draw in range(DRAWS):
        moved = units.sums(method.explain(_noisy(data, seed + draw)))
        total += np.linalg.norm(moved - relevance, axis=1)
    return np.divide(total / DRAWS, size, out=np.full(data.count, np.nan), where=size > 0)


def _noisy(data: EvaluatedData, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    noisy = {}
    for name in data.explained:
        array = data.feeds[name]
        if array.dtype.kind == "f":
            noise = random.standard_normal(array.shape) * NOISE * _spread(array, name, data)
            noisy[name] = (array + noise).astype(array.dtype)
    return noisy


def _spread(array: np.ndarray, name: str, data: EvaluatedData) -> np.ndarray:
    """Measure the standard deviation: of each column of a table, of any other input as a whole."""
    is_table = array.ndim == 2 and len(array) > 1
    return np.asarray(np.nanstd(array.astype(np.float64), axis=0 if is_table else None))
