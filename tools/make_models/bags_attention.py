"""Gated attention over bags of digits (multiple instance learning): writes models/bags_attention."""

import numpy as np
import torch
from common import MEASURED
from sklearn.datasets import load_digits
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS, BAG, WIDTH = 800, 10, 32


class Bags:
    """Draws bags [N, 10, 64] of digits: class 1 holds a 4, class 2 holds a 7, class 0 neither, and none holds both."""

    def __init__(self, seed: int, *, training: bool) -> None:
        self._random = np.random.default_rng(seed)
        digits = load_digits()
        part = slice(0, 1200) if training else slice(1200, None)
        self._pixels, self._digits = digits.data[part].astype(np.float32), digits.target[part]

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = self._random.integers(0, 3, count)
        return np.stack([self._draw(label) for label in labels]), labels

    def _draw(self, label: int) -> np.ndarray:
        others = self._random.choice(np.flatnonzero(~np.isin(self._digits, (4, 7))), BAG)
        telling = self._random.choice(np.flatnonzero(self._digits == (0, 4, 7)[label]), self._random.integers(1, 3))
        rows = np.concatenate([telling, others])[:BAG] if label else others
        return self._pixels[self._random.permutation(rows)]


class GatedAttention(nn.Module):
    """Network from bags to three scores: instances are encoded, weighed by gated attention, and added up."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH), nn.ReLU())
        self.content, self.gate = nn.Linear(WIDTH, 16), nn.Linear(WIDTH, 16)
        self.weigh, self.classify = nn.Linear(16, 1), nn.Linear(WIDTH, 3)

    def forward(self, bag: torch.Tensor) -> torch.Tensor:
        encoded = self.encode(bag / 16)
        gated = torch.tanh(self.content(encoded)) * torch.sigmoid(self.gate(encoded))
        weights = torch.softmax(self.weigh(gated), 1)
        return self.classify((weights * encoded).sum(1))


def main() -> None:
    start()
    network = train(GatedAttention(), Bags(0, training=True), STEPS)
    bags, labels = Bags(1, training=False)(SAMPLES + MEASURED)
    accuracy("bags_attention", write("bags_attention", network, {"bag": bags}, labels, "logits"), labels)


if __name__ == "__main__":
    main()
