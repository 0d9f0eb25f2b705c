"""Default composite, which chooses its rules by the model's structure."""

from __future__ import annotations

import dataclasses

from onnxlrp.composites.base import Composite, Product, Role
from onnxlrp.composites.lrp import Epsilon
from onnxlrp.rules import Epsilon as EpsilonRule
from onnxlrp.rules import Flat, Gamma, Rule


@dataclasses.dataclass(frozen=True)
class Auto(Composite):
    """The default: rules that suit the model, chosen by deletion tests on trained networks (tools/defaults).

    The last layer before the score takes ε, convolutions over two or more axes take γ; convolutions over one axis and
    dense layers take ε. In a model with attention the operands of a product get half of its relevance each (Achtibat et
    al. 2024), but a sigmoid or softmax gate of an elementwise product gets nothing.

    γ is bounded where z⁺ is not, because its denominator is never smaller than the layer's output: in nine kinds of
    hybrid (convolutions inside of attention blocks; random and trained, three seeds) max Σ|R| / max(|score|, .05) is 73
    with γ = 0.1, 133 with ε and 1,970 with z⁺ at the convolutions.

    Parameters
    ----------
    gamma
        γ of convolutions over two or more axes, at least 0. Default: 0.1.
    flat_stem
        True uses Flat at a first convolution over a grey or colour picture. Default: False.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="auto(gamma=0.25)")
    ```
    """

    gamma: float = 0.1
    flat_stem: bool = False
    halves: bool = dataclasses.field(default=False, repr=False, compare=False)
    """True if operands of products get half each: `for_model` sets it for models with attention."""

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.last:
            return EpsilonRule(), "auto: last layer before the score"
        if self.flat_stem and role.picture_stem:
            return Flat(), "auto: stem over a grey or colour picture"
        if role.kind != "convolution":
            return EpsilonRule(), f"auto: {role.kind} layer"
        if role.spatial < 2:
            return EpsilonRule(), f"auto: convolution over {'one axis' if role.spatial else 'a single place'}"
        return Gamma(self.gamma), f"auto: convolution over {'two' if role.spatial == 2 else 'three or more'} axes"

    @property
    def product(self) -> Product:
        return "gated" if self.halves else "signal"

    def for_model(self, *, attention: bool, convolutions: int) -> tuple[Composite, str]:
        """Return the composite that `auto` stands for in a model, and the reason."""
        if attention:
            kind = "attention and convolutions" if convolutions else "attention"
            return dataclasses.replace(self, halves=True), f"{kind}: products share by halves, gates get nothing"
        if convolutions:
            return self, "convolutions, no attention: products go to the signal"
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(Composite)}
        return Epsilon(**shared), "auto: no convolution, no attention"
