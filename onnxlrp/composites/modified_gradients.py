"""Composites that are gradients: the true one, its product with the input, and those that change what ReLUs pass."""

from __future__ import annotations

import dataclasses
from typing import Literal

from onnxlrp.composites.base import Composite


@dataclasses.dataclass(frozen=True)
class Gradient(Composite):
    """The true vector-Jacobian product of the output itself.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="gradient")
    ```
    """

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        return "gradient"

    @property
    def times_input(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class GradientXInput(Gradient):
    """`gradient` times the input.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="gradient_x_input")
    ```
    """

    @property
    def times_input(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class Deconvnet(Gradient):
    """Gradient in which a ReLU that receives g passes max(g, 0) on (Zeiler & Fergus 2014).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="deconvnet")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "deconvnet"


@dataclasses.dataclass(frozen=True)
class GuidedBackprop(Gradient):
    """Gradient in which a ReLU of z that receives g passes max(g, 0)·1[z > 0] on (Springenberg et al. 2015).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="guided_backprop")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "guided"


@dataclasses.dataclass(frozen=True)
class BetaSmooth(Gradient):
    """Gradient in which a ReLU of z that receives g passes g·σ(10z) on, as a softplus does (Dombrowski et al. 2019).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="beta_smooth")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "smooth"
