"""Every composite of docs/rules.md for the oracle: which formula a layer gets by its place in the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from tests.oracle.rules import Rule


@dataclasses.dataclass(frozen=True)
class Place:
    """What a composite may ask of a layer."""

    convolution: bool
    first: bool
    """No layer among its ancestors."""
    index: int
    """Position among the convolutions, from 0."""
    convolutions: int
    last: bool = False
    """No layer between it and the score."""
    spatial: int = 0
    """Axes that a convolution runs over: not those where its input and its kernel have size 1."""


EPSILON, ZPLUS, LRP0, FLAT = Rule("Epsilon"), Rule("ZPlus"), Rule("LRP0"), Rule("Flat")
PASS, NORM = Rule("Pass"), Rule("Norm")


@dataclasses.dataclass(frozen=True)
class Composite:
    layer: Callable[[Place], Rule] = lambda place: EPSILON
    norm: Rule = NORM
    batch_norm: Rule = EPSILON
    shift: Rule = EPSILON
    pool: Callable[[int, int], Rule | None] = lambda before, convolutions: None
    """Rule of a max pool, by the number of convolutions before it; None: the winner takes all."""
    seed: str = "score"
    """"score", "positive" or "one"."""
    rectifier: str | None = None
    """Gradients only: what a ReLU does to g: "gradient", "deconvnet", "guided" or "smooth"."""
    times_input: bool = False
    uniform: bool = False
    """Products of two data operands: half each, else all to the signal."""
    clamps: Literal["never", "with convolutions", "always"] = "never"
    """Networks in which the composite's stabilisers clamp."""


def convolutional(convolution: Rule, first: Rule | None = None, box: Rule | None = None) -> Composite:
    """ε on dense layers, `first` on any first layer, `box` on first convolutions only."""

    def layer(place: Place) -> Rule:
        if place.first and first:
            return first
        if place.first and place.convolution and box:
            return box
        return convolution if place.convolution else EPSILON

    return Composite(layer, batch_norm=PASS)


def _vgg_overview(low: Any, high: Any) -> Composite:
    late = {"epsilon": 1e-9, "relative": 0.25}

    def layer(place: Place) -> Rule:
        if not place.convolution:
            return LRP0
        if place.first:
            return Rule("ZBox", low=low, high=high)
        return Rule("Gamma") if place.index < round(7 * place.convolutions / 13) else Rule("Epsilon", **late)

    def pool(before: int, convolutions: int) -> Rule:
        return Rule("Norm") if before <= round(7 * convolutions / 13) else Rule("Norm", **late)

    return Composite(layer, pool=pool)


def _deep_taylor(low: Any = None, high: Any = None) -> Composite:
    first = Rule("WSquare") if low is None else Rule("ZBox", low=low, high=high)
    return Composite(lambda place: first if place.first else Rule("ZPlus", zero_params="bias"), seed="positive")


def _auto() -> Composite:
    """γ by the number of convolutions; models with attention and maps of scores are not among the oracle's."""

    def layer(place: Place) -> Rule:
        gamma = Rule("Gamma", gamma=0.1 if place.convolutions <= 8 else 0.25)
        return gamma if place.spatial >= 2 and not place.last else EPSILON

    return Composite(layer, clamps="with convolutions")


def _everywhere(rule: Rule, **options: Any) -> Composite:
    return Composite(lambda place: rule, **options)


def _gradient(rectifier: str = "gradient", times_input: bool = False) -> Composite:
    return Composite(seed="one", rectifier=rectifier, times_input=times_input)


def composite(name: str, **params: Any) -> Composite:
    """By its name in docs/rules.md, with its parameters."""
    box = Rule("ZBox", **params)
    alpha_beta = Rule("AlphaBeta", alpha=2.0, beta=1.0)
    exact = Rule("Norm", epsilon=0.0)
    epsilon = Rule("Epsilon", **params)
    table: dict[str, Callable[[], Composite]] = {
        "lrp0": lambda: _everywhere(LRP0, norm=exact, batch_norm=LRP0, shift=LRP0),
        "epsilon": lambda: _everywhere(epsilon, norm=Rule("Norm", **params), batch_norm=epsilon, shift=epsilon),
        "epsilon_gamma_box": lambda: convolutional(Rule("Gamma", gamma=0.25), box=box),
        "epsilon_plus": lambda: convolutional(ZPLUS),
        "epsilon_plus_flat": lambda: convolutional(ZPLUS, first=FLAT),
        "epsilon_alpha2_beta1": lambda: convolutional(alpha_beta),
        "epsilon_alpha2_beta1_flat": lambda: convolutional(alpha_beta, first=FLAT),
        "vgg_overview": lambda: _vgg_overview(**params),
        "deep_taylor": lambda: _deep_taylor(**params),
        "excitation_backprop": lambda: _everywhere(ZPLUS, batch_norm=PASS),
        "attn_lrp": lambda: _everywhere(Rule("Gamma", **params) if params else EPSILON, uniform=True),
        "cp_lrp": lambda: _everywhere(Rule("Gamma", **params) if params else EPSILON),
        "auto": _auto,
        "gradient": _gradient,
        "gradient_x_input": lambda: _gradient(times_input=True),
        "deconvnet": lambda: _gradient("deconvnet"),
        "guided_backprop": lambda: _gradient("guided"),
        "beta_smooth": lambda: _gradient("smooth"),
    }
    return table[name]()


def of_package(name: str, **params: Any) -> Any:
    """The same composite as `onnxlrp.convert` takes it: the name, or an object where there are parameters."""
    if not params:
        return name
    from onnxlrp import composites

    return getattr(composites, "".join(part.capitalize() for part in name.split("_")))(**params)
