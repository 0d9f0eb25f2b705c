"""Measurement: trains a network, and evaluates every composite by the deletion of the elements called relevant."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

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
    "auto(gamma=0.1)",
    "auto(gamma=0.25)",
    "auto(flat_stem=True)",
)
SEEDS, SAMPLES, STEPS = 3, 20, 16


def measure(task: Task) -> dict[str, np.ndarray]:
    """Give the deletion area of every sample of every seed, by composite.

    Deleted elements become 0, the mean of all data; the channels of an element are deleted together.
    """
    found: dict[str, list[float]] = {name: [] for name in COMPOSITES}
    for seed in range(SEEDS):
        network = _trained(task, seed)
        x, _ = task.batch(SAMPLES)
        units = "elements" if task.channels is None else "patches"
        areas = deletion_areas(_exported(network, x), x.numpy(), units, 1, "zero", STEPS)
        for name in COMPOSITES:
            found[name] += areas[name].tolist()
    return {name: np.array(areas) for name, areas in found.items()}


def deletion_areas(
    model: bytes | Path, x: np.ndarray, units: str, size: int, baseline: str, steps: int
) -> dict[str, np.ndarray]:
    """Give the area between the curves of every sample as the least and as the most relevant units are deleted first,
    by composite; the box of `epsilon_gamma_box` holds all data."""
    box = EpsilonGammaBox(float(x.min()), float(x.max()))
    composites = {name: box if name.endswith("box") else name for name in COMPOSITES}
    options = {"units": units, "unit_size": size, "baseline": baseline, "steps": steps}
    evaluation = onnxlrp.evaluate(model, x, list(composites.values()), measures="perturbation", beside=(), **options)
    return {name: evaluation.values["area"][str(one)] for name, one in composites.items()}


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
