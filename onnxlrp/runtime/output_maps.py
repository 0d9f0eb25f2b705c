"""Outputs that are maps over a picture, such as the scores of a segmentation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

_LEAST = 8
"""Shortest side of a map without an axis of classes; a list of boxes has fewer numbers a box, or other proportions."""


@dataclasses.dataclass(frozen=True, eq=False)
class OutputMap:
    """An output with scores for each cell of a picture, and the way back to its own axes."""

    scores: np.ndarray
    """Scores [N, classes, height, width]."""
    form: str
    """Order of the output's own axes: "NCHW", "NHWC" or "NHW"."""

    def element(self, channel: int, row: int, column: int) -> list[int]:
        """Indices of a cell after the batch axis, in the output's own order."""
        if self.form == "NHW":
            return [row, column]
        return [channel, row, column] if self.form == "NCHW" else [row, column, channel]

    def class_of(self, element: Sequence[int]) -> int | None:
        """Class of a cell by its indices in the output's own order; None for a map of one score a cell."""
        if self.scores.shape[1] == 1:
            return None
        return int(element[0] if self.form == "NCHW" else element[2])

    def weighted_class(self, weights: np.ndarray) -> int | None:
        """Class that has weights, [...] in the output's own order; None for a map of one score a cell."""
        if self.scores.shape[1] == 1:
            return None
        rows = weights if self.form == "NCHW" else np.moveaxis(weights, -1, 0)
        return int(np.abs(rows).sum((1, 2)).argmax())

    def as_output(self, sample: np.ndarray) -> np.ndarray:
        """Bring one sample [classes, height, width] into the output's own order."""
        if self.form == "NHW":
            return sample[0]
        return sample if self.form == "NCHW" else np.moveaxis(sample, 0, -1)


def find(output: np.ndarray, size: tuple[float, float]) -> OutputMap | None:
    """Read an output [N, ...] as a map over a picture of this width and height; None if it is none.

    A map has the picture's proportions: both sides of it are the same fraction of the picture's, up to one cell.
    """
    if output.ndim == 3 and min(output.shape[1:]) >= _LEAST and _is_scaled(output.shape[1:], size):
        return OutputMap(output[:, None], "NHW")
    if output.ndim != 4:
        return None
    first, last = _is_scaled(output.shape[2:], size), _is_scaled(output.shape[1:3], size)
    if last and (not first or output.shape[3] < min(output.shape[1:3])) and not (first and output.shape[1] <= 4):
        return OutputMap(np.moveaxis(output, 3, 1), "NHWC")
    return OutputMap(output, "NCHW") if first else None


def _is_scaled(sides: tuple[int, ...], size: tuple[float, float]) -> bool:
    """Decide whether a map of these sides (height, width) has the proportions of a picture (width, height)."""
    height, width = sides
    if not height or not width:
        return False
    return abs(width - height * size[0] / size[1]) <= 1 or abs(height - width * size[1] / size[0]) <= 1
