"""One-dimensional convolutions on signed series, trained in seconds: compares `auto` with its rivals by deletion."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tools.cases.lib import Array, Table, deletion, explain, export, runner

RIVALS = ("epsilon", "gradient_x_input")
LENGTH, SAMPLES, STEPS = 48, 12, 100


def network(normed: bool, outputs: int) -> nn.Sequential:
    """Make three dilated convolutions of 12 channels, with or without batch norm, and a dense layer."""
    layers: list[nn.Module] = []
    for channels, dilation in ((2, 1), (12, 2), (12, 4)):
        layers.append(nn.Conv1d(channels, 12, 5, padding=2 * dilation, dilation=dilation))
        layers += [nn.BatchNorm1d(12)] if normed else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Linear(48, outputs))


def draw(count: int, classes: bool) -> tuple[Any, Any]:
    """Draw noise with a bump, a dip or a wave somewhere; the class is its shape, the number a difference of two
    windows."""
    x, t = torch.randn(count, 2, LENGTH) * 0.3, torch.arange(-5, 6).float()
    bump = torch.exp(-(t**2) / 4)
    shapes, kind = torch.stack([bump, -bump, torch.sin(t)]) * 2, torch.randint(0, 3, (count,))
    for i, place in enumerate(torch.randint(6, LENGTH - 6, (count,)).tolist()):
        x[i, 0, place - 5 : place + 6] += shapes[kind[i]]
    number = 3 * (x[:, 0, 30:].mean(1) - x[:, 1, :16].mean(1)) + (kind == 2).float() - 1
    return x, kind if classes else number


def trained(classes: bool, normed: bool, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    net = network(normed, 3 if classes else 1)
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(STEPS):
        x, y = draw(64, classes)
        out = net(x)
        loss = functional.cross_entropy(out, y) if classes else (out[:, 0] - y).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return net.eval()


def areas(classes: bool, normed: bool, seed: int) -> dict[str, Array]:
    """Measure the deletion area of each sample, by composite; a negative number is explained downwards."""
    net = trained(classes, normed, seed)
    x = draw(SAMPLES, classes)[0]
    model, rows = export(net, x[:3]), x.numpy()
    run = runner(model)
    out = run(rows)
    best = out.argmax(1)
    sign = np.ones(SAMPLES) if classes else np.sign(out[:, 0])
    found = {}
    for composite in ("auto", *RIVALS):
        maps = explain(model, rows, composite).relevance["x"] * sign[:, None, None]
        found[composite] = np.array(
            [deletion(lambda q, i=i: run(q)[:, best[i]] * sign[i], rows[i], maps[i], 16) for i in range(SAMPLES)]
        )
    return found


def main() -> int:
    """Require areas at or above the better rival's, within two standard errors of the paired differences."""
    table = Table("deletion: least relevant first minus most relevant first")
    for classes in (True, False):
        for normed in (False, True):

            def figure(classes: bool = classes, normed: bool = normed) -> tuple[bool, str]:
                parts = [areas(classes, normed, seed) for seed in range(2)]
                found = {c: np.concatenate([p[c] for p in parts]) for c in parts[0]}
                best = max(RIVALS, key=lambda c: found[c].mean())
                deficit = found[best] - found["auto"]
                noise = 2 * deficit.std() / np.sqrt(len(deficit))
                text = ", ".join(f"{c} {v.mean():.3f}" for c, v in found.items())
                return deficit.mean() <= noise + 1e-9, f"{text}; noise {noise:.3f}"

            kind = "classes" if classes else "a number"
            table.attempt(f"{kind}, {'with' if normed else 'without'} batch norm", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
