"""Temporal CNN on a watch's accelerations and rotations (BasicMotions of sktime): writes models/motions_tcn."""

import numpy as np
import torch
from bundled_series import read_series
from common import MEASURED
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS, WINDOW, WIDTH = 400, 60, 24


class Windows:
    """Draws windows [N, 6, 60] of the recordings of 100 readings, and the number of the motion."""

    def __init__(self, seed: int, part: str) -> None:
        self._random = np.random.default_rng(seed)
        series, self._labels = read_series("BasicMotions", part)
        self._series = np.stack(series)

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        return self._windows(self._random.integers(0, len(self._labels), count))

    def of_each(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw windows of the recordings in turn: rows of different recordings stand far apart."""
        order = self._random.permutation(len(self._labels))
        return self._windows(order[np.sort(np.arange(count) % len(order))])

    def _windows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        starts = self._random.integers(0, self._series.shape[2] - WINDOW + 1, len(rows))
        return np.stack([self._series[r, :, s : s + WINDOW] for r, s in zip(rows, starts)]), self._labels[rows]


class Dilated(nn.Module):
    """Two dilated convolutions with batch norm beside a skip."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        options = {"padding": dilation, "dilation": dilation}
        self.first, self.second = (nn.Conv1d(WIDTH, WIDTH, 3, **options) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm2(self.second(torch.relu(self.norm1(self.first(x))))))


class TCN(nn.Module):
    """Network from six channels of readings to four scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(6, WIDTH, 1)
        self.blocks = nn.Sequential(Dilated(1), Dilated(2), Dilated(4))
        self.classify = nn.Linear(WIDTH, 4)

    def forward(self, readings: torch.Tensor) -> torch.Tensor:
        return self.classify(self.blocks(self.stem(readings / 5)).mean(2))


def main() -> None:
    start()
    network = train(TCN(), Windows(0, "TRAIN"), STEPS)
    readings, labels = Windows(1, "TEST").of_each(SAMPLES + MEASURED)
    accuracy("motions_tcn", write("motions_tcn", network, {"readings": readings}, labels, "logits"), labels)


if __name__ == "__main__":
    main()
