"""Helpers for the scripts that make the suite's networks: they train, export, check and store rows to measure on."""

from collections.abc import Callable

import numpy as np
import torch
from common import folder, report, run_onnx, save_measured, save_samples
from torch import nn

SAMPLES, OPSET = 16, 17
Draw = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""Function that draws a batch of this many inputs and their labels."""
Arrays = dict[str, np.ndarray]


def start() -> None:
    """Fix the seed, and take one thread."""
    torch.manual_seed(0)
    torch.set_num_threads(1)


def train(
    network: nn.Module, draw: Draw, steps: int, loss: Callable = nn.functional.cross_entropy, rate: float = 3e-3
) -> nn.Module:
    """Train with Adam on batches of 64 rows; the rate falls to 0 along half a cosine."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        inputs, labels = draw(64)
        value = loss(network(torch.from_numpy(inputs)), torch.from_numpy(labels))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def draw_from(inputs: np.ndarray, labels: np.ndarray, random: np.random.Generator) -> Draw:
    """Make a function that draws rows of a data set."""

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        rows = random.integers(0, len(labels), count)
        return inputs[rows], labels[rows]

    return draw


def write(name: str, network: nn.Module, inputs: Arrays, labels: np.ndarray, output: str) -> np.ndarray:
    """Write `models/NAME`: the network, 16 samples, and up to 96 further rows that `tools.evaluation` measures on.

    Returns the network's output on all these rows.
    """
    target = folder(name)
    path = target / f"{name}.onnx"
    tensors = tuple(torch.from_numpy(array) for array in inputs.values())
    with torch.no_grad():
        expected = network(*tensors).numpy()
    torch.onnx.export(
        network,
        tuple(tensor[:2] for tensor in tensors),
        path,
        dynamo=False,
        input_names=list(inputs),
        output_names=[output],
        opset_version=OPSET,
        dynamic_axes={axis: {0: "N"} for axis in (*inputs, output)},
    )
    report(path, expected, run_onnx(path, inputs)[0])
    save_samples(target, {key: array[:SAMPLES] for key, array in inputs.items()}, labels[:SAMPLES])
    save_measured(target, {key: array[SAMPLES:] for key, array in inputs.items()}, labels[SAMPLES:])
    return expected


def accuracy(name: str, logits: np.ndarray, labels: np.ndarray) -> None:
    """Print the share of rows whose largest score is at the label."""
    print(f"{name}: accuracy {(logits.argmax(1) == labels).mean():.4f} on {len(labels)} rows")
