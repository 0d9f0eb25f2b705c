"""LSTM that tells nine speakers by a vowel (JapaneseVowels of sktime): writes models/vowels_lstm."""

import numpy as np
import torch
from bundled_series import read_series
from common import MEASURED
from suite_training import SAMPLES, accuracy, draw_from, start, train, write
from torch import nn

STEPS, FRAMES, WIDTH = 500, 12, 32


def frames(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the middle 12 frames [N, 12, 12 coefficients] of each utterance that is long enough, and its speaker."""
    series, labels = read_series("JapaneseVowels", part)
    long = [i for i, one in enumerate(series) if one.shape[1] >= FRAMES]
    starts = [(series[i].shape[1] - FRAMES) // 2 for i in long]
    return np.stack([series[i][:, s : s + FRAMES].T for i, s in zip(long, starts)]), labels[long]


class VowelsLSTM(nn.Module):
    """Network from frames of 12 coefficients to nine scores; the last state passes a dense layer with tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.LSTM(12, WIDTH, batch_first=True)
        self.dense, self.classify = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 9)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        states, _ = self.read(frames)
        return self.classify(torch.tanh(self.dense(states[:, -1])))


def main() -> None:
    start()
    network = train(VowelsLSTM(), draw_from(*frames("TRAIN"), np.random.default_rng(0)), STEPS)
    inputs, labels = frames("TEST")
    rows = np.random.default_rng(1).permutation(len(labels))[: SAMPLES + MEASURED]
    found = write("vowels_lstm", network, {"frames": inputs[rows]}, labels[rows], "logits")
    accuracy("vowels_lstm", found, labels[rows])


if __name__ == "__main__":
    main()
