"""Removal: scores of samples from which units were removed, in batches on onnxruntime, each state computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import numpy as np

from onnxlrp.evaluation.baselines import Baseline
from onnxlrp.evaluation.evaluated_data import EvaluatedData
from onnxlrp.evaluation.score_model import ScoreModel
from onnxlrp.evaluation.units import Units

Advance = Callable[[int], None]
"""Function that is told how many samples were computed."""


class Removal:
    """Runs a model on samples with parts of them replaced by a baseline.

    Scores are kept by sample and mask, so that each state is run once, though several curves share it: every curve
    begins with the whole sample and ends with the whole baseline, and explanations may rank units alike.
    """

    def __init__(
        self,
        model: ScoreModel,
        data: EvaluatedData,
        units: Units,
        baseline: Baseline,
        places: np.ndarray,
        advance: Advance = lambda samples: None,
    ) -> None:
        """Take everything that the scores depend on; `places` [N] are the explained scores, flattened."""
        self.units, self.count = units, data.count
        self._model, self._data, self._baseline, self._places = model, data, baseline, places
        self._advance = advance
        self._known: dict[tuple[int, bytes], float] = {}

    def scores(self, rows: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Compute the explained score of samples `rows` [B] without the units of `masks`, bool [B, units]."""
        masks = masks & self.units.present[rows]
        keys = [_key(row, packed) for row, packed in zip(rows, np.packbits(masks, axis=1), strict=True)]
        new = {key: index for index, key in enumerate(keys) if key not in self._known}
        places = np.fromiter(new.values(), np.int64, len(new))
        self._advance(len(rows) - len(places))
        for start in range(0, len(places), self._data.rows):
            some = places[start : start + self._data.rows]
            values = self._run(rows[some], masks[some])
            self._known.update(zip((keys[index] for index in some), values.tolist(), strict=True))
            self._advance(len(some))
        return np.array([self._known[key] for key in keys])

    def _run(self, rows: np.ndarray, masks: np.ndarray) -> np.ndarray:
        """Compute one batch, averaged over the draws of the baseline; a model of fixed size gets its last row again."""
        short = self._data.rows - len(rows) if self._data.fixed else 0
        rows = np.concatenate([rows, rows[-1:].repeat(short)])
        masks = np.concatenate([masks, masks[-1:].repeat(short, axis=0)])
        gone = {name: self.units.removed(name, rows, masks) for name in self.units.labels}
        total = np.zeros(len(rows))
        for draw in self._baseline.draws:
            total += self._model.scores(self._data.batch(rows, self._changed(draw, gone, rows)))[
                np.arange(len(rows)), self._places[rows]
            ]
        return total[: len(rows) - short] / len(self._baseline.draws)

    def _changed(
        self, draw: Mapping[str, np.ndarray], gone: dict[str, np.ndarray], rows: np.ndarray
    ) -> dict[str, np.ndarray]:
        changed = {}
        for name, mask in gone.items():
            filling = draw[name] if len(draw[name]) == 1 else draw[name][rows]
            changed[name] = np.where(mask, filling, self._data.feeds[name][rows])
        return changed


def _key(row: np.integer, packed: np.ndarray) -> tuple[int, bytes]:
    """Make a short key of a sample and a mask, because masks of single pixels are large."""
    return int(row), hashlib.blake2b(packed.tobytes(), digest_size=16).digest()
