"""Place in a picture whose score was asked for, as figures name and mark it."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class AskedPlace:
    """Place in the picture of one sample, and the class that is explained there."""

    words: str
    """Words for a heading, such as "at (150, 100)", in pixels of the picture as it was given."""
    mark: Literal["point", "box", "detected", "none"] = "none"
    """Mark in the picture: a point, a box that was asked for, or a box that the model detected; none for a mask."""
    edges: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right and bottom of the mark, as fractions of the picture; a point has no size."""
    of_class: int | None = None
    """Class that is explained there; None if the output has a single score for each place."""


Places = tuple[tuple[AskedPlace, ...], ...]
"""Places of each sample and target, [N][K]."""
