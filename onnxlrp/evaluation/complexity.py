"""Complexity: over how many units an explanation spreads its relevance."""

from __future__ import annotations

import numpy as np


def entropy(relevance: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Compute the entropy of the units' shares of Σ|relevance|, [N], relative to that of an even spread.

    It is 0 if one unit has all the relevance, 1 if all units have the same; NaN without any relevance.
    """
    sizes = np.where(present, np.abs(relevance), 0)
    total = sizes.sum(axis=1, keepdims=True)
    shares = np.divide(sizes, total, out=np.zeros_like(sizes), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    most = np.log(np.maximum(present.sum(axis=1), 2))
    return np.where(total[:, 0] > 0, -(shares * logs).sum(axis=1) / most, np.nan)
