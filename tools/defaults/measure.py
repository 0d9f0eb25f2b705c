"""Measurement: trains a network, explains it by every composite, and deletes the elements called relevant."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

import onnxlrp
from onnxlrp.composites import EpsilonGammaBox
from tools.defaults.networks import Task

COMPOSITES = (
    "auto",
    "epsilon",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_gamma_box",
    "attn_lrp",
    "cp_lrp",
    "gradient_x_input",
    "auto(gamma=0.25)",
    "auto(gamma=0.25, flat_stem=True)",
)
SEEDS, SAMPLES, STEPS = 3, 20, 16
Score = Callable[[np.ndarray], np.ndarray]


def measure(task: Task) -> dict[str, np.ndarray]:
    """Give the deletion area of every sample of every seed, by composite."""
    found: dict[str, list[float]] = {name: [] for name in COMPOSITES}
    for seed in range(SEEDS):
        network = _trained(task, seed)
        x, _ = task.batch(SAMPLES)
        model = _exported(network, x)
        scores = network(x).detach().numpy()
        for name in COMPOSITES:
            composite = EpsilonGammaBox(float(x.min()), float(x.max())) if name.endswith("box") else name
            relevance = onnxlrp.Explainer(onnxlrp.convert(model, composite))({"x": x.numpy()}).relevance["x"]
            for i, chosen in enumerate(scores.argmax(1)):
                found[name].append(deletion(_score(network, chosen), x[i].numpy(), relevance[i], task.channels))
    return {name: np.array(areas) for name, areas in found.items()}


def deletion(score: Score, x: np.ndarray, relevance: np.ndarray, channels: int | None) -> float:
    """Measure a sample's deletion area; deleted elements become 0, the mean of all data.

    `channels` is an axis whose elements are deleted together.
    """
    r = relevance if channels is None else relevance.sum(channels)

    def run(masks: np.ndarray) -> np.ndarray:
        gone = masks if channels is None else np.expand_dims(masks, channels + 1)
        return score(np.where(gone, 0, x).astype(np.float32))

    return deletion_area(run, r, STEPS)


def deletion_area(score: Score, relevance: np.ndarray, steps: int) -> float:
    """Measure the area between a score's curves as the least and as the most relevant elements are deleted first.

    `score` takes masks of the deleted elements, one a row.
    """

    def curve(order: np.ndarray) -> float:
        rows = np.zeros((steps + 1, relevance.size), bool)
        for row, count in zip(rows, np.linspace(0, relevance.size, steps + 1).astype(int), strict=True):
            row[order[:count]] = True
        return float(np.mean(score(rows.reshape(-1, *relevance.shape))))

    r = relevance.ravel()
    return curve(np.argsort(r, kind="stable")) - curve(np.argsort(-r, kind="stable"))


def _score(network: nn.Module, chosen: int) -> Score:
    return lambda x: network(torch.tensor(x)).detach().numpy()[:, chosen]


def _trained(task: Task, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = task.network()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(task.steps):
        x, y = task.batch(64)
        loss = nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def _exported(network: nn.Module, x: torch.Tensor) -> bytes:
    file = io.BytesIO()
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            network, (x,), file, input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "N"}}, dynamo=False
        )
    return file.getvalue()
