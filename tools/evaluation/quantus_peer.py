"""Quantus beside `onnxlrp.evaluate`: the same curves, from a model that runs on onnxruntime.

Quantus takes networks of torch, so that the session is wrapped in one.
"""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import numpy as np
import torch

# Without this, torchvision registers operators that its CPU wheels lack, and Quantus cannot be imported.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

import quantus  # noqa: E402


class Network(torch.nn.Module):
    """A session of onnxruntime as a network of torch; it predicts the scores of one output."""

    def __init__(self, session: Any, input_name: str, score: str) -> None:
        super().__init__()
        self._session, self._input, self._score = session, input_name, score

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self._session.run([self._score], {self._input: x.numpy()})[0])


def pixel_flipping(
    network: Network, x: np.ndarray, targets: np.ndarray, relevance: np.ndarray, baseline: Any, at_once: int
) -> np.ndarray:
    """Run PixelFlipping: the scores as elements are replaced, the most relevant first, `at_once` in a step."""
    metric = quantus.PixelFlipping(
        features_in_step=at_once, perturb_baseline=baseline, abs=False, normalise=False, disable_warnings=True
    )
    return np.array(_run(metric, network, x, targets, relevance))


def region_perturbation(
    network: Network,
    x: np.ndarray,
    targets: np.ndarray,
    relevance: np.ndarray,
    baseline: Any,
    side: int,
    regions: int,
    order: str = "morf",
) -> np.ndarray:
    """Run RegionPerturbation: the drops of the scores as patches are replaced, one in a step, in the order given."""
    metric = quantus.RegionPerturbation(
        patch_size=side,
        regions_evaluation=regions,
        order=order,
        perturb_baseline=baseline,
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    return np.array(_run(metric, network, x, targets, relevance))


def _run(metric: Any, network: Network, x: np.ndarray, targets: np.ndarray, relevance: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(
            model=network.eval(),
            x_batch=x,
            y_batch=targets,
            a_batch=relevance,
            softmax=False,
            channel_first=True,
            device="cpu",
            batch_size=len(x),
        )
