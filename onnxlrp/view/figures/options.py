"""Options of a figure, each of which has a default that fits most data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError


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

    def __post_init__(self) -> None:
        """Raise InputError for an option of another type, or out of its range."""
        whole = [("sample", one, 0) for one in self.samples] + [("top", self.top, 1)]
        for name, value, least in whole:
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise InputError(f"{name} is a whole number from {least} on, not {value!r:.80}")
        rate = self.sampling_rate
        if rate is not None and not (isinstance(rate, (int, float, np.number)) and 0 < rate < math.inf):
            raise InputError(f"sampling_rate is the number of time steps a second, above 0, not {rate!r:.80}")
