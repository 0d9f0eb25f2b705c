"""Default composite, which chooses its rules by the model's structure."""

from __future__ import annotations

import dataclasses

from onnxlrp.composites.base import Composite, Product, Role, with_stabiliser
from onnxlrp.composites.lrp import Epsilon
from onnxlrp.rules import Epsilon as EpsilonRule
from onnxlrp.rules import Flat, Gamma, Rule

_FEW = 8
"""Largest number of convolutions in a model that is shallow."""
_PATCHES = 0.1
"""γ of dense layers where attention reads patches of a picture."""


@dataclasses.dataclass(frozen=True)
class Auto(Composite):
    """The default: rules that suit the model, chosen by deletion tests on trained networks (tools/evaluation).

    The last layer before the score takes ε, convolutions over two or more axes take γ; convolutions over one axis and
    dense layers take ε. In a model with attention but without such convolutions the operands of a product get half of
    its relevance each (Achtibat et al. 2024), and a sigmoid or softmax gate of an elementwise product gets nothing.
    Elsewhere all goes to the signal. Where attention reads patches of a picture, dense layers take γ = 0.1.

    γ is bounded where z⁺ is not, because its denominator is never smaller than the layer's output: in nine kinds of
    hybrid (convolutions inside of attention blocks; random and trained, three seeds) max Σ|R| / max(|score|, .05) is 73
    with γ = 0.1, 133 with ε and 1,970 with z⁺ at the convolutions.

    Where a model has convolutions and no attention, ε clamps denominators and is not added to them: in float32,
    relevance of the residual network among the bundled models then differs from that in float64 by 2e-7, else by 7e-5.

    Parameters
    ----------
    gamma
        γ of convolutions over two or more axes, at least 0. Default: None, which is 1 where the score is one place of
        a map (segmentation), 0.1 in other models of at most eight convolutions, and 0.25 in all others.
    flat_stem
        True uses Flat at a first convolution over a grey or colour picture. Default: False.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", composite="auto(gamma=0.1)")
    ```
    """

    gamma: float | None = None
    flat_stem: bool = False
    halves: bool = dataclasses.field(default=False, repr=False, compare=False)
    """True if operands of products get half each: `for_model` sets it for attention without pictures."""
    over_patches: bool = dataclasses.field(default=False, repr=False, compare=False)
    """True if dense layers take γ: `for_model` sets it for attention over patches of a picture."""

    clamps: bool = dataclasses.field(default=False, repr=False, compare=False)
    """True if ε clamps denominators: `for_model` sets it for convolutions without attention."""

    def stabilised(self, rule: Rule) -> Rule:
        if self.clamps and self.stabiliser is None and rule.stabiliser == "add":
            return with_stabiliser(rule, "clamp")
        return super().stabilised(rule)

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.last:
            return EpsilonRule(), "auto: last layer before the score"
        if self.flat_stem and role.picture_stem:
            return Flat(), "auto: stem over a grey or colour picture"
        if self.over_patches and (role.kind == "dense" or role.is_patches):
            return Gamma(_PATCHES), f"auto: {role.kind} layer, attention over patches"
        if role.kind != "convolution":
            return EpsilonRule(), f"auto: {role.kind} layer"
        if role.spatial < 2:
            return EpsilonRule(), f"auto: convolution over {'one axis' if role.spatial else 'a single place'}"
        gamma, why = self._gamma(role)
        return Gamma(gamma), f"auto: convolution over {'two' if role.spatial == 2 else 'three or more'} axes, {why}"

    def _gamma(self, role: Role) -> tuple[float, str]:
        """Choose γ of a convolution over two or more axes: deeper models have more noise to suppress."""
        if self.gamma is not None:
            return self.gamma, "γ as given"
        if role.on_map:
            return 1.0, "the score is one place of a map"
        if role.convolutions <= _FEW:
            return 0.1, f"at most {_FEW} convolutions"
        return 0.25, f"more than {_FEW} convolutions"

    @property
    def product(self) -> Product:
        return "gated" if self.halves else "signal"

    def for_model(self, *, attention: bool, convolutions: int, pictures: bool, patches: bool) -> tuple[Composite, str]:
        """Return the composite that `auto` stands for in a model, and the reason.

        `pictures` tells whether a convolution runs over two or more axes, `patches` whether a first one cuts patches.
        """
        if attention and patches:
            found = dataclasses.replace(self, over_patches=True)
            return found, "attention over patches: products go to the signal, dense layers take γ"
        if attention and pictures:
            return self, "attention over pictures: products go to the signal"
        if attention:
            kind = "attention and convolutions" if convolutions else "attention"
            return dataclasses.replace(self, halves=True), f"{kind}: products share by halves, gates get nothing"
        if convolutions:
            found = dataclasses.replace(self, clamps=True)
            return found, "convolutions, no attention: products go to the signal, ε clamps denominators"
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(Composite)}
        return Epsilon(**shared), "auto: no convolution, no attention"
