"""Four channels of which the network reads one: that one must get all relevance."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from tools.cases.lib import Table, explain, export

STEMS = ((2, 3, 1), (2, 7, 2), (2, 4, 4), (3, 3, 1), (1, 5, 1))
"""Number of spatial axes, kernel and stride."""


def network(axes: int, kernel: int, stride: int) -> nn.Sequential:
    """Make two convolutions and a head; the first convolution has zero weights at channels 1, 2 and 3."""
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[axes - 1]
    stem = convolution(4, 8, kernel, stride, kernel // 2 if kernel > stride else 0)
    stem.weight.data[:, 1:] = 0
    second = convolution(8, 8, 3, padding=1)
    return nn.Sequential(stem, nn.ReLU(), second, nn.ReLU(), pool(1), nn.Flatten(), nn.Linear(8, 3))


def main() -> int:
    """Require shares of 1, 0, 0, 0 under auto."""
    table = Table("shares of four channels under auto")
    for axes, kernel, stride in STEMS:

        def figure(axes: int = axes, kernel: int = kernel, stride: int = stride) -> tuple[bool, str]:
            torch.manual_seed(0)
            net, x = network(axes, kernel, stride), torch.rand(2, 4, *[16] * axes)
            relevance = explain(export(net, x, batch=False), x.numpy()).relevance["x"]
            size = np.abs(relevance).sum((0, *range(2, axes + 2)))
            shares = size / size.sum()
            return np.allclose(shares, [1, 0, 0, 0], atol=1e-6), " ".join(f"{s:.3f}" for s in shares)

        table.attempt(f"{axes}-D, kernel {kernel}, stride {stride}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
