"""Negative score of a fully convolutional head: relevance must add up to the score instead of being 0 everywhere."""

from __future__ import annotations

import torch
from torch import nn

from tools.cases.lib import Table, explain, export


def network(pooled: bool) -> nn.Sequential:
    """Make two convolutions and one of 1 × 1 with negative weights; pooled to one score, else a score at each place.

    There are no biases, because they would keep a share of the score under any rule.
    """
    head = nn.Conv2d(8, 1, 1, bias=False)
    head.weight.data = -head.weight.data.abs()
    body = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(), head]
    return nn.Sequential(*body, *([nn.AdaptiveAvgPool2d(1), nn.Flatten()] if pooled else []))


def main() -> int:
    """Require that the sum of relevance is within 20 % of the score under auto."""
    table = Table("sum of relevance over the negative score under auto")
    for name, pooled, dynamo in (
        ("a score a place", False, False),
        ("one score", True, False),
        ("a score a place, dynamo", False, True),
        ("one score, dynamo", True, True),
    ):

        def figure(pooled: bool = pooled, dynamo: bool = dynamo) -> tuple[bool, str]:
            torch.manual_seed(0)
            net, x = network(pooled).eval(), torch.rand(1, 3, 16, 16)
            with torch.no_grad():
                score = float(net(x).sum())
            model = export(net, x, dynamo=dynamo, batch=False)
            relevance = explain(model, x.numpy(), kind="class" if pooled else "weights").relevance["x"]
            share = float(relevance.sum()) / score
            return score < 0 and abs(share - 1) <= 0.2, f"{share:.3f} of {score:.2f}"

        table.attempt(name, figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
