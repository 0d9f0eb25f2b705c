"""Training and exporting with torch, which the training process of every example shares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import nn

OPSET = 17
Batches = Iterator[tuple[np.ndarray, np.ndarray]]


def start(seed: int = 0) -> None:
    """Fix the seed, and take one thread."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)


def shuffled(inputs: np.ndarray, labels: np.ndarray, size: int, seed: int = 0) -> Batches:
    """Yield batches of rows without end, each row once in every round."""
    random = np.random.default_rng(seed)
    size = min(size, len(labels))
    while True:
        order = random.permutation(len(labels))
        for first in range(0, len(order) - size + 1, size):
            rows = order[first : first + size]
            yield inputs[rows], labels[rows]


def fit(
    network: nn.Module,
    batches: Batches,
    steps: int,
    *,
    rate: float = 3e-3,
    decay: float = 0.0,
    loss: Callable = nn.functional.cross_entropy,
) -> nn.Module:
    """Train with AdamW; the rate falls to 0 along half a cosine."""
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(steps):
        inputs, labels = next(batches)
        value = loss(network(torch.from_numpy(inputs)), torch.from_numpy(labels))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def outputs_of(network: nn.Module, *inputs: np.ndarray) -> np.ndarray:
    """Run the network without gradients."""
    with torch.no_grad():
        return network(*(torch.from_numpy(array) for array in inputs)).numpy()


def export(network: nn.Module, path: Path, inputs: Mapping[str, np.ndarray], output: str = "logits") -> None:
    """Write the network as ONNX, its first axis free."""
    torch.onnx.export(
        network,
        tuple(torch.from_numpy(array[:2]) for array in inputs.values()),
        path,
        dynamo=False,
        input_names=list(inputs),
        output_names=[output],
        opset_version=OPSET,
        dynamic_axes={axis: {0: "N"} for axis in (*inputs, output)},
    )
