"""Areas under perturbation curves: one number a sample for what two curves show."""

from __future__ import annotations

import numpy as np

from onnxlrp.evaluation.perturbation import Curves


def area(curve: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Compute the area under each curve [N, steps + 1] by the trapezoidal rule: the mean score on the way, [N]."""
    return (np.diff(shares, axis=1) * (curve[:, 1:] + curve[:, :-1]) / 2).sum(axis=1)


def deletion(curves: Curves) -> np.ndarray:
    """Compute the mean score while the most relevant units are removed first, [N]; lower is better."""
    return area(curves.most_first, curves.shares)


def insertion(curves: Curves) -> np.ndarray:
    """Compute the mean score while the most relevant units are inserted first, [N]; higher is better."""
    return area(curves.least_first, curves.shares)


def area_between(curves: Curves) -> np.ndarray:
    """Compute the area between both curves, insertion − deletion, [N]; higher is better, a random order has 0."""
    return insertion(curves) - deletion(curves)
