"""Composites that average the gradient over several points: integrated gradients and SmoothGrad."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from onnxlrp.composites.base import Points
from onnxlrp.composites.modified_gradients import Gradient
from onnxlrp.errors import InputError
from onnxlrp.rules import Bound


@dataclasses.dataclass(frozen=True)
class IntegratedGradients(Gradient):
    """Integrated gradients (Sundararajan et al. 2017): the mean gradient on the straight way from a baseline to the
    input, times the input less the baseline; its sum approaches the output less that of the baseline.

    The integral is a sum over the nodes of Gauss-Legendre quadrature, as in Captum.

    Parameters
    ----------
    steps
        The number of nodes, at least 1: model and gradient run so many times. Default: 32.
    baseline
        The baseline: a number, one number for each channel, or an array of the input's shape; for ids, whose embeddings
        move, an id. Default: 0.

    Raises
    ------
    InputError
        `steps` is no number of at least 1, or the baseline is not finite.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="integrated_gradients(steps=50)")
    ```
    """

    steps: int = 32
    baseline: Bound = dataclasses.field(default=0.0, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_baseline(self.baseline)

    @property
    def points(self) -> Points | None:
        nodes, weights = np.polynomial.legendre.leggauss(self.steps)
        scales = ((1 + nodes) / 2).tolist()
        return Points(tuple(scales), tuple((weights / 2).tolist()), baseline=self.baseline)


@dataclasses.dataclass(frozen=True)
class SmoothGrad(Gradient):
    """SmoothGrad (Smilkov et al. 2017): the mean gradient at the input plus normal noise.

    The file holds the noise, so that every run gives the same relevance: as many numbers as `samples` samples have.
    Along an axis of open size these are 128, which longer inputs repeat. All samples of a batch get the same noise.
    Token ids get it on their embeddings.

    Parameters
    ----------
    samples
        The number of points, at least 1: model and gradient run so many times. Default: 16.
    sigma
        The standard deviation of the noise, above 0, in the unit of the input. Default: 0.1.
    noise_seed
        The seed of the noise, a whole number of at least 0. Default: 0.

    Raises
    ------
    InputError
        An argument is out of its range.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="smooth_grad(sigma=0.2)")
    ```
    """

    samples: int = 16
    sigma: float = 0.1
    noise_seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("samples", self.samples)
        check_count("noise_seed", self.noise_seed, least=0)
        if not isinstance(self.sigma, (int, float)) or not 0 < self.sigma < math.inf:
            raise InputError(f"sigma is a finite number above 0, not {self.sigma!r:.80}")

    @property
    def points(self) -> Points | None:
        scales, weights = (1.0,) * self.samples, (1 / self.samples,) * self.samples
        return Points(scales, weights, sigma=self.sigma, noise_seed=self.noise_seed)


def check_count(name: str, value: object, least: int = 1) -> None:
    """Raise InputError unless an argument is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(f"{name} is a whole number of at least {least}, not {value!r:.80}")


def check_baseline(baseline: object) -> None:
    """Raise InputError unless a baseline is a finite number or an array of such."""
    try:
        array = np.asarray(baseline, np.float64)
    except (TypeError, ValueError) as e:
        raise InputError(f"baseline is a number or an array of numbers: {e}") from e
    if not np.isfinite(array).all():
        raise InputError("baseline must be finite")
