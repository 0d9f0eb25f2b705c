"""Options of a figure, each of which has a default that fits most data."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Options:
    """Choices of the caller of `Explanation.plot`, which describes them."""

    samples: Sequence[int] = ()
    """Samples to show; empty stands for all, as far as they fit."""
    top: int = 12
    """Number of columns that are shown one by one."""
    time_axis: int | None = None
    """Axis of a series [N, ., .] that holds time; None stands for what the model's file says."""
    sampling_rate: float | None = None
    """Time steps a second; None shows steps."""
    latitude: Any = None
    """Latitude of each row of gridded data, in degrees."""
    longitude: Any = None
    """Longitude of each column of gridded data, in degrees."""
