"""Outputs that are lists of boxes, as detectors write them before or after the choice of the best."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_ORDERED = 0.98
"""Fraction of boxes with right > left and bottom > top from which on four numbers are taken for edges."""


@dataclasses.dataclass(frozen=True, eq=False)
class OutputBoxes:
    """Boxes and scores of an output, and the way back to its own indices.

    Known forms: scores [N, boxes, classes] beside another output [N, boxes, 4]; [N, 4 + classes, boxes], with the box
    in its first four rows (YOLOv8 and later); [N, boxes, 5 + classes], with the box, a score that it is an object, and
    the classes (YOLOv5, YOLOX); [N, boxes, 6] with the box, a score and the number of its class (YOLOv10). Boxes are
    centre and size, or edges, told apart by their values; they count in pixels of the input, or in fractions of it
    where none exceeds 2.
    """

    output: np.ndarray
    """Explained output with boxes along axis 1, [N, boxes, numbers]."""
    boxes: np.ndarray
    """Edges of the boxes as fractions of the picture, [N, boxes, 4]."""
    first: int
    """Index of the first class among the numbers of a box."""
    last: int | None
    """Index past the last class; None for all numbers that follow."""
    transposed: bool
    """True if the output itself has the boxes along its last axis."""

    @classmethod
    def find(
        cls, output: np.ndarray, others: Mapping[str, Any], size: tuple[float, float], classes: int = 0
    ) -> OutputBoxes | None:
        """Read an output [N, ...] as boxes in a picture of this width and height; None if it is no list of boxes.

        `classes` is the number of classes, 0 if it is not known.
        """
        if output.ndim != 3:
            return None
        for other in others.values():
            if other is not output and isinstance(other, np.ndarray) and other.shape == (*output.shape[:2], 4):
                return cls(output, _edges(other, size), 0, None, False)
        transposed = output.shape[1] < output.shape[2]
        rows = np.moveaxis(output, 1, 2) if transposed else output
        numbers = rows.shape[2]
        if numbers < 5 or rows.shape[1] < 2:
            return None
        edges = _edges(rows[..., :4], size)
        if ((edges[..., 2:] >= edges[..., :2]).all(axis=-1)).mean() < _ORDERED:
            return None  # numbers of other things, such as the features of tokens: no box is less than 0 wide
        if numbers == 6 and not transposed and classes != 2 and (rows[..., 5] == np.floor(rows[..., 5])).all():
            return cls(rows, edges, 4, 5, transposed)
        known = classes and numbers - classes in (4, 5)
        first = numbers - classes if known else 4 if transposed or numbers == 5 else 5
        return cls(rows, edges, first, None, transposed)

    def scores(self, sample: int) -> np.ndarray:
        """Scores of one sample's boxes, [boxes, classes]."""
        return self.output[sample, :, self.first : self.last]

    def element(self, number: int, of_class: int) -> list[int]:
        """Indices of a box's score for a class, after the batch axis, in the output's own order."""
        place = [number, self.first + of_class]
        return place[::-1] if self.transposed else place

    def place_of(self, element: Sequence[int]) -> tuple[int, int]:
        """Number of a box and its class, by the indices of a score in the output's own order."""
        number, column = element[::-1] if self.transposed else element
        return int(number), int(column) - self.first

    def overlaps(self, sample: int, edges: tuple[float, float, float, float]) -> np.ndarray:
        """Intersection over union of one sample's boxes with another; with a point, 1 for the boxes that hold it."""
        boxes, (left, top, right, bottom) = self.boxes[sample], edges
        if right <= left and bottom <= top:
            inside = (boxes[:, 0] <= left) & (left <= boxes[:, 2]) & (boxes[:, 1] <= top) & (top <= boxes[:, 3])
            return inside.astype(float)
        width = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
        height = np.minimum(boxes[:, 3], bottom) - np.maximum(boxes[:, 1], top)
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        areas = np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)
        return shared / np.maximum(areas + (right - left) * (bottom - top) - shared, 1e-12)


def _edges(numbers: np.ndarray, size: tuple[float, float]) -> np.ndarray:
    """Convert boxes [..., 4] to edges as fractions of the picture."""
    boxes = np.nan_to_num(numbers.astype(np.float64))
    if np.abs(boxes).max(initial=0.0) > 2:
        boxes = boxes / np.array([*size, *size])
    first, second = boxes[..., :2], boxes[..., 2:]
    if ((second > first).all(axis=-1)).mean() >= _ORDERED:
        return boxes
    return np.concatenate([first - second / 2, first + second / 2], axis=-1)
