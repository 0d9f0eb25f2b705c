"""Perturbation curves: the score as units are removed, most or least relevant first.

Insertion needs no runs of its own: a sample into which the k most relevant units were inserted is the sample from which
the others were removed, least relevant first. So the insertion curve, most relevant first, is the deletion curve, least
relevant first, read from its end.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from onnxlrp.evaluation.removal import Removal

_MASKS = 1 << 24
"""Most elements in the masks that are held at once."""


@dataclasses.dataclass(frozen=True, eq=False)
class Curves:
    """Scores of every sample, float64 [N, steps + 1], from the whole sample to the whole baseline."""

    most_first: np.ndarray
    """Deletion with the most relevant units first."""
    least_first: np.ndarray
    """Deletion with the least relevant units first; from its end, insertion with the most relevant first."""
    shares: np.ndarray
    """Share of the units that is removed, [N, steps + 1]."""


def curves(removal: Removal, relevance: np.ndarray, steps: int, rows: np.ndarray | None = None) -> Curves:
    """Compute both curves of units' relevance [N, units]; ties are broken by the number of the unit.

    `rows` are the numbers of the N samples, if they are not all.
    """
    rows = np.arange(removal.count) if rows is None else rows
    present = removal.units.present[rows]
    counts = removed_counts(present.sum(axis=1), steps)
    most = np.argsort(np.where(present, -relevance, np.inf), axis=1, kind="stable")
    least = np.argsort(np.where(present, relevance, np.inf), axis=1, kind="stable")
    shares = counts / np.maximum(counts[:, -1:], 1)
    return Curves(curve(removal, most, counts, rows), curve(removal, least, counts, rows), shares)


def removed_counts(units: np.ndarray, steps: int) -> np.ndarray:
    """Number the units that are gone after each step, int [N, steps + 1], from none to all in equal parts."""
    return np.floor(units[:, None] * np.arange(steps + 1) / steps + 1e-9).astype(int)


def curve(removal: Removal, order: np.ndarray, counts: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Compute the scores [N, steps + 1] as units are removed in an order [N, units]; `rows` as in `curves`."""
    samples, steps = counts.shape
    rows = np.arange(samples) if rows is None else rows
    units = order.shape[1]
    at_once = max(1, _MASKS // (steps * units))
    parts = []
    for start in range(0, samples, at_once):
        some = np.arange(start, min(start + at_once, samples))
        rank = np.empty_like(order[some])
        np.put_along_axis(rank, order[some], np.arange(units)[None], axis=1)
        masks = rank[:, None, :] < counts[some][:, :, None]
        parts.append(removal.scores(rows[some].repeat(steps), masks.reshape(-1, units)))
    return np.concatenate(parts).reshape(samples, steps)
