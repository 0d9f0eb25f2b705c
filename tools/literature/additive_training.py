"""Network on the additive benchmark of Mamalakis et al. 2022, whose true attributions are known, and what peers say."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tools.literature import training
from tools.literature.sea_surface import SeaSurface, sea_surface

ROWS, SEGMENTS, STEP = 400, 5, 2
"""Rows explained; segments of a point's function; the step between points taken of the grid, so that it is of 10°."""
BREAKS = (-1.2, -0.4, 0.4, 1.2)
_REACH = 30.0
"""Degrees over which correlations of fifty winters are believed."""
_DRAWN, _BATCH = 16_384, 256


class Additive:
    """Draws maps x, normal with the correlations of real temperatures, and the shares f_i(x_i) of their points.

    Every f_i is piecewise linear with f_i(0) = 0, and the slopes of neighbours are alike. f_i(x_i) is the share of a
    point, relative to a map of zeros.
    """

    def __init__(self, sea: SeaSurface) -> None:
        grid = np.zeros_like(sea.sea)
        grid[::STEP, ::STEP] = True
        self.places = np.argwhere(grid & sea.sea)
        self._root = np.linalg.cholesky(self._correlations(sea) + 1e-6 * np.eye(len(self.places)))
        slopes = self._root @ np.random.default_rng(0).normal(size=(len(self.places), SEGMENTS))
        self._slopes = slopes / self._scale(slopes)

    def draw(self, count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw maps [count, points] and the shares of their points."""
        x = random.normal(size=(count, len(self.places))) @ self._root.T
        return x.astype(np.float32), self._shares(x, self._slopes)

    def _correlations(self, sea: SeaSurface) -> np.ndarray:
        """Correlate the points over the winters, fading with distance."""
        down, along = self.places.T
        latitude, longitude = np.deg2rad(sea.latitude[down]), np.deg2rad(sea.longitude[along])
        level = np.cos(latitude)
        on_sphere = np.stack([level * np.cos(longitude), level * np.sin(longitude), np.sin(latitude)], axis=1)
        degrees = np.rad2deg(np.arccos(np.clip(on_sphere @ on_sphere.T, -1, 1)))
        return np.corrcoef(sea.anomalies[:, down, along].T) * np.exp(-((degrees / _REACH) ** 2) / 2)

    def _scale(self, slopes: np.ndarray) -> float:
        x = np.random.default_rng(1).normal(size=(4000, len(self.places))) @ self._root.T
        return float(self._shares(x, slopes).sum(axis=1).std())

    @staticmethod
    def _shares(x: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Integrate the slopes from 0 to x."""
        shares = np.zeros_like(x)
        for slope, low, high in zip(slopes.T, (-np.inf, *BREAKS), (*BREAKS, np.inf)):
            near = min(max(0.0, low), high)  # the segment's end that lies nearest to 0
            shares += slope * (np.clip(x, low, high) - near)
        return shares


def train(folder: Path, *, short: bool) -> None:
    """Train; write the model, rows with their true shares, and the attributions of Captum and SHAP."""
    training.start()
    sea = sea_surface()
    benchmark = Additive(sea)
    network = _network(len(benchmark.places))
    training.fit(
        network, _batches(benchmark), 3000 if short else 8000, rate=2e-3, decay=0.01, loss=nn.functional.mse_loss
    )
    x, shares = benchmark.draw(ROWS, np.random.default_rng(3))
    test, expected = benchmark.draw(4000, np.random.default_rng(4))
    errors = training.outputs_of(network, test)[:, 0] - expected.sum(axis=1)
    training.export(network, folder / "additive.onnx", {"sst": x}, "y")
    np.savez(
        folder / "rows.npz", x=x, shares=shares, explained_variance=1 - errors.var() / expected.sum(axis=1).var(),
        places=benchmark.places, latitude=sea.latitude, longitude=sea.longitude, sea=sea.sea,
        **({} if short else _peers(network, x)),
    )  # fmt: skip


def _network(points: int) -> nn.Module:
    widths = (points, 128, 64, 32)
    layers = [part for i, o in itertools.pairwise(widths) for part in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


def _batches(benchmark: Additive) -> training.Batches:
    random = np.random.default_rng(2)
    while True:
        x, shares = benchmark.draw(_DRAWN, random)
        y = shares.sum(axis=1, keepdims=True).astype(np.float32)
        for first in range(0, _DRAWN, _BATCH):
            yield x[first : first + _BATCH], y[first : first + _BATCH]


def _peers(network: nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """Compute attributions relative to a map of zeros, where a method has a reference."""
    import shap
    from captum import attr

    rows, zeros = torch.from_numpy(x), np.zeros((1, x.shape[1]), np.float32)
    found = {
        "Captum, gradient × input": attr.InputXGradient(network).attribute(rows.clone().requires_grad_()),
        "Captum, integrated gradients": attr.IntegratedGradients(network).attribute(rows, n_steps=32),
        "Captum, DeepLIFT": attr.DeepLift(network).attribute(rows),
    }
    arrays = {name: array.detach().numpy() for name, array in found.items()}
    explainer = shap.explainers.Permutation(lambda z: training.outputs_of(network, z.astype(np.float32)), zeros, seed=0)
    values = explainer(x[:100], max_evals=10 * (2 * x.shape[1] + 1), silent=True).values
    return {**arrays, "SHAP, permutations": values[..., 0] if values.ndim == 3 else values}
