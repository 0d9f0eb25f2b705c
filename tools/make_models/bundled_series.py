"""Series in the text files that sktime's wheel holds (format .ts); sktime itself is not imported."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np


def read_series(name: str, part: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Read TRAIN or TEST of a set: series [channels, length], and the numbers of their classes."""
    path = Path(_data(), name, f"{name}_{part}.ts")
    lines = [line for line in path.read_text().splitlines() if line and line[0] not in "#@"]
    rows = [line.split(":") for line in lines]
    series = [np.array([channel.split(",") for channel in row[:-1]], np.float32) for row in rows]
    return series, np.unique([row[-1].strip() for row in rows], return_inverse=True)[1]


def _data() -> Path:
    spec = find_spec("sktime")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps sktime==1.2.0: its wheel holds the series")
    return Path(spec.origin).parent / "datasets" / "data"
