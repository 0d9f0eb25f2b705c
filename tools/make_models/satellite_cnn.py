"""Depthwise CNN with SiLU and gates on generated four-channel pictures: writes models/satellite_cnn."""

import numpy as np
import torch
from common import MEASURED
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS, SIDE, THING = 600, 32, 8
GROUND = np.array([[0.05, 0.08, 0.04, 0.45], [0.08, 0.1, 0.09, 0.3], [0.2, 0.18, 0.15, 0.3], [0.12, 0.13, 0.1, 0.25]])
"""Reflectance of forest, meadow, soil and stone in red, green, blue and near infrared."""
THINGS = np.array(
    [[0.04, 0.06, 0.08, 0.03], [0.06, 0.05, 0.05, 0.1], [0.1, 0.16, 0.08, 0.55], [0.3, 0.29, 0.3, 0.3], [0.1] * 4]
)
"""Reflectance of the things to find: water, burnt ground, irrigated crops, a roof, and solar panels with stripes."""


class Scenes:
    """Draws scenes [N, 4, 32, 32] of four kinds of ground, with one thing somewhere, and the kind of the thing."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = self._random.integers(0, len(THINGS), count)
        return np.stack([self._draw(label) for label in labels]), labels

    def _draw(self, label: int) -> np.ndarray:
        """Draw one scene: four fields of ground, the thing, light that differs, and noise."""
        corner = self._random.integers(8, 24, 2)
        below, right = np.arange(SIDE)[:, None] >= corner[0], np.arange(SIDE)[None] >= corner[1]
        scene = GROUND[self._random.permutation(4)][2 * below + right]
        thing = np.broadcast_to(THINGS[label], (THING, THING, 4)).copy()
        if label == 4:
            thing[::2] *= 2
        down, along = self._random.integers(0, SIDE - THING + 1, 2)
        scene[down : down + THING, along : along + THING] = thing
        light = self._random.uniform(0.8, 1.2) * (1 + self._random.normal(0, 0.1, (SIDE, SIDE, 1)))
        noisy = scene * light + self._random.normal(0, 0.01, scene.shape)
        return noisy.clip(0, 1).round(3).astype(np.float32).transpose(2, 0, 1)


class Separable(nn.Module):
    """A depthwise and a pointwise convolution with SiLU, and a gate for each channel; a skip where sizes agree."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.depth, self.point = nn.Conv2d(width, width, 3, stride, 1, groups=width), nn.Conv2d(width, out, 1)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(out)
        self.gate = nn.Sequential(nn.Conv2d(out, 8, 1), nn.SiLU(), nn.Conv2d(8, out, 1), nn.Sigmoid())
        self.skips = stride == 1 and width == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = nn.functional.silu(self.norm1(self.depth(x)))
        y = nn.functional.silu(self.norm2(self.point(y)))
        y = y * self.gate(y.mean((2, 3), keepdim=True))
        return x + y if self.skips else y


class SatelliteCNN(nn.Module):
    """Network from reflectances 0 … 1 in four channels to five scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(4, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.SiLU())
        self.blocks = nn.Sequential(Separable(24, 24, 1), Separable(24, 32, 2), Separable(32, 48, 2))
        self.classify = nn.Linear(48, len(THINGS))

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        return self.classify(self.blocks(self.stem((bands - 0.2) * 5)).mean((2, 3)))


def main() -> None:
    start()
    network = train(SatelliteCNN(), Scenes(0), STEPS)
    scenes, labels = Scenes(1)(SAMPLES + MEASURED)
    accuracy("satellite_cnn", write("satellite_cnn", network, {"bands": scenes}, labels, "logits"), labels)


if __name__ == "__main__":
    main()
