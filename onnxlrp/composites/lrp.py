"""Composites of layer-wise relevance propagation, under the names that are usual for them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from onnxlrp.composites.base import Composite, Product, Role
from onnxlrp.errors import InputError
from onnxlrp.rules import LRP0, AlphaBeta, Bound, Flat, Gamma, Norm, Pass, Rule, WSquare, ZBox, ZPlus
from onnxlrp.rules import Epsilon as EpsilonRule


@dataclasses.dataclass(frozen=True)
class Lrp0(Composite):
    """LRP-0 everywhere, with every other ε at 0 too: gradient × input on ReLU networks (Bach et al. 2015).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="lrp0")
    ```
    """

    def layer(self, role: Role) -> tuple[Rule, str]:
        return LRP0(), "every layer"

    @property
    def norm(self) -> Rule:
        return Norm(0.0)

    @property
    def batch_norm(self) -> Rule:
        return LRP0()


@dataclasses.dataclass(frozen=True)
class Epsilon(Composite):
    """LRP-ε everywhere (Bach et al. 2015).

    Parameters
    ----------
    epsilon
        ε of the stabiliser, at least 0. Default: 1e-6.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon(1e-3)")
    ```
    """

    epsilon: float = 1e-6

    def layer(self, role: Role) -> tuple[Rule, str]:
        return EpsilonRule(self.epsilon), "every layer"

    @property
    def norm(self) -> Rule:
        return Norm(self.epsilon)

    @property
    def batch_norm(self) -> Rule:
        return EpsilonRule(self.epsilon)


@dataclasses.dataclass(frozen=True)
class _Convolutional(Composite):
    """Base of composites with one rule for convolutions and ε for dense layers; batch norms pass relevance unchanged,
    as in Zennit."""

    @property
    def convolution(self) -> Rule:
        raise NotImplementedError

    @property
    def first_layer(self) -> Rule | None:
        return None

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.first and self.first_layer is not None:
            return self.first_layer, "first layer"
        if role.kind == "convolution":
            return self.convolution, "convolution"
        return EpsilonRule(), role.kind

    @property
    def batch_norm(self) -> Rule:
        return Pass()


@dataclasses.dataclass(frozen=True)
class EpsilonPlus(_Convolutional):
    """z⁺ on convolutions, ε on dense layers.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_plus")
    ```
    """

    @property
    def convolution(self) -> Rule:
        return ZPlus()


@dataclasses.dataclass(frozen=True)
class EpsilonPlusFlat(EpsilonPlus):
    """`epsilon_plus` with a flat first layer.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_plus_flat")
    ```
    """

    @property
    def first_layer(self) -> Rule | None:
        return Flat()


@dataclasses.dataclass(frozen=True)
class EpsilonAlpha2Beta1(_Convolutional):
    """α2β1 on convolutions, ε on dense layers.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_alpha2_beta1")
    ```
    """

    @property
    def convolution(self) -> Rule:
        return AlphaBeta(2.0, 1.0)


@dataclasses.dataclass(frozen=True)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """`epsilon_alpha2_beta1` with a flat first layer.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_alpha2_beta1_flat")
    ```
    """

    @property
    def first_layer(self) -> Rule | None:
        return Flat()


@dataclasses.dataclass(frozen=True)
class EpsilonGammaBox(_Convolutional):
    """γ on convolutions, ε on dense layers, z-box on first convolutions.

    Parameters
    ----------
    low, high
        Bounds of the model's input: a number, one number for each channel, or an array of the input's shape. Required.
    gamma
        γ of the convolutions, at least 0. Default: 0.25.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_gamma_box(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(hash=False)
    high: Bound = dataclasses.field(hash=False)
    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        ZBox(self.low, self.high)
        Gamma(self.gamma)

    @property
    def convolution(self) -> Rule:
        return Gamma(self.gamma)

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.first_convolution:
            return ZBox(self.low, self.high), "first convolution"
        return super().layer(role)


@dataclasses.dataclass(frozen=True)
class VggOverview(Composite):
    """z-box, γ, ε and LRP-0 by depth; max pools as average pools (Montavon et al. 2019).

    VGG-16: convolution 1 takes the z-box, 2 to 7 take γ, 8 to 13 take ε; of n convolutions, the last with γ is number
    round(7n/13).

    Parameters
    ----------
    low, high
        Bounds of the model's input: a number, one number for each channel, or an array of the input's shape. Required.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="vgg_overview(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(hash=False)
    high: Bound = dataclasses.field(hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        ZBox(self.low, self.high)

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.first_convolution:
            return ZBox(self.low, self.high), "first convolution"
        if role.kind != "convolution":
            return LRP0(), role.kind
        if role.index < round(7 * role.convolutions / 13):
            return Gamma(0.25), "lower convolution"
        return EpsilonRule(1e-9, relative=0.25), "upper convolution"

    def pooling(self, before: int, convolutions: int) -> Rule | None:
        lower = before <= round(7 * convolutions / 13)
        return Norm() if lower else Norm(1e-9, relative=0.25)


@dataclasses.dataclass(frozen=True)
class DeepTaylor(Composite):
    """Deep Taylor decomposition (Montavon et al. 2017): z-box on the first layer (w² without bounds), z⁺ without bias
    on the others.

    Parameters
    ----------
    low, high
        Bounds of the model's input: a number, one number for each channel, or an array of the input's shape. Default:
        none.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="deep_taylor(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(default=None, hash=False)
    high: Bound = dataclasses.field(default=None, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.low is None) != (self.high is None):
            raise InputError("DeepTaylor: give both bounds of the model's input, low and high, or none")
        if self.low is not None:
            ZBox(self.low, self.high)

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.first and self.low is not None:
            return ZBox(self.low, self.high), "first layer, bounds given"
        if role.first:
            return WSquare(), "first layer"
        return ZPlus(zero_params="bias"), "every other layer"

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        return "positive"


@dataclasses.dataclass(frozen=True)
class ExcitationBackprop(Composite):
    """z⁺ on layers; sums and pools share relevance in proportion (Zhang et al. 2016).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="excitation_backprop")
    ```
    """

    def layer(self, role: Role) -> tuple[Rule, str]:
        return ZPlus(), "every layer"

    @property
    def batch_norm(self) -> Rule:
        return Pass()


@dataclasses.dataclass(frozen=True)
class AttnLrp(Composite):
    """AttnLRP (Achtibat et al. 2024): ε on layers (γ on request), products in halves, softmax by its Taylor term.

    Parameters
    ----------
    gamma
        γ of all layers, at least 0. Default: None, ε without γ.
    epsilon
        ε of the stabiliser, at least 0. Default: 1e-6.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="attn_lrp(gamma=0.1)")
    ```
    """

    gamma: float | None = None
    epsilon: float = 1e-6

    def layer(self, role: Role) -> tuple[Rule, str]:
        rule = EpsilonRule(self.epsilon) if self.gamma is None else Gamma(self.gamma, epsilon=self.epsilon)
        return rule, "every layer"

    @property
    def norm(self) -> Rule:
        return Norm(self.epsilon)

    @property
    def product(self) -> Product:
        return "uniform"


@dataclasses.dataclass(frozen=True)
class CpLrp(AttnLrp):
    """CP-LRP (Ali et al. 2022): `attn_lrp` with attention weights and gates as constants.

    Parameters
    ----------
    gamma
        γ of all layers, at least 0. Default: None, ε without γ.
    epsilon
        ε of the stabiliser, at least 0. Default: 1e-6.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="cp_lrp")
    ```
    """

    @property
    def product(self) -> Product:
        return "constant"
