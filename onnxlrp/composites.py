"""Which rule where: every composite of the field under its usual name.

A composite answers for a *layer* by its role in the model (first match wins, from the most to the least specific) and
says how the few kinds of step without parameters are treated. It names no operator.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from onnxlrp.errors import InputError
from onnxlrp.rules import LRP0, AlphaBeta, Bound, Flat, Gamma, Norm, Pass, Rule, WSquare, ZBox, ZPlus, call
from onnxlrp.rules import Epsilon as EpsilonRule
from onnxlrp.rules import parse as parse_rule

Product = Literal["uniform", "gated", "signal", "constant"]


@dataclasses.dataclass(frozen=True)
class Role:
    """The facts about a layer and the model around it that a composite may use."""

    kind: str
    """"convolution", "dense", "recurrent" or "embedding"."""
    first: bool = False
    """No other layer among its ancestors."""
    last: bool = False
    """No other layer between it and the score."""
    spatial: int = 0
    """How many spatial axes a convolution runs over, 0 where it is none."""
    channels: int = 0
    """How many input channels a convolution has, those of all its groups together; 0 where that is not known."""
    overlaps: bool = False
    """True where a convolution's kernel is larger than its stride along every axis."""
    index: int = 0
    """Position among the model's convolutions, in topological order, from 0."""
    convolutions: int = 0
    """How many convolutions the model has."""
    attention: bool = False
    """True where the model has attention."""

    @property
    def first_convolution(self) -> bool:
        return self.first and self.kind == "convolution"

    @property
    def picture_stem(self) -> bool:
        """A first convolution over a grey or colour picture: two axes, 1 or 3 channels, windows that overlap."""
        return self.first_convolution and self.spatial == 2 and self.channels in (1, 3) and self.overlaps


@dataclasses.dataclass(frozen=True)
class Composite:
    """Base of all composites; as it stands, ε everywhere.

    `activations` says what an elementwise activation with f(0) ≠ 0 does, such as a sigmoid. "offset": it keeps the
    share of f(0) and passes the rest on, so that relevance has the sign of the operand's effect. "pass": it passes
    everything on, as in Zennit and LXT, whose maps may be upside down there; meant for comparisons with them.
    """

    activations: Literal["offset", "pass"] = dataclasses.field(default="offset", kw_only=True)

    def __post_init__(self) -> None:
        if self.activations not in ("offset", "pass"):
            raise InputError(f'activations is "offset" or "pass", not {self.activations!r}')

    def layer(self, role: Role) -> tuple[Rule, str]:
        """The rule of a layer, and why."""
        return EpsilonRule(), "every layer"

    @property
    def norm(self) -> Rule:
        """Sums, averages and constants that are added."""
        return Norm()

    @property
    def batch_norm(self) -> Rule:
        """Rule of a batch norm that is folded into no layer."""
        return EpsilonRule()

    @property
    def product(self) -> Product:
        """Products of two data operands: half each, or all to the signal; "gated": half each, but nothing to the gate
        of an elementwise product; "constant": attention weights as well."""
        return "signal"

    def pooling(self, before: int, convolutions: int) -> Rule | None:
        """Rule of a max pool downstream of `before` of the model's `convolutions`, explained as average pooling; None:
        the winner takes all."""
        return None

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        """Start from the score, from max(0, score), or, for gradients, from 1 at the output itself."""
        return "score"

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        """Under gradients: what a ReLU does to the gradient g of its output."""
        return "gradient"

    @property
    def times_input(self) -> bool:
        """True where the relevance of an input is multiplied by the input at the end (always, but for plain
        gradients)."""
        return True

    def __str__(self) -> str:
        given = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if f.repr and getattr(self, f.name) is not f.default
        ]
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()
        return f"{name}({', '.join(given)})" if given else name


@dataclasses.dataclass(frozen=True)
class Lrp0(Composite):
    """LRP-0 everywhere, every other ε is 0 too: gradient × input on ReLU networks (Bach et al. 2015)."""

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
    """LRP-ε everywhere (Bach et al. 2015)."""

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
    """One rule for convolutions, ε for dense layers, batch norm passed: the composites that Zennit made common."""

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
    """z⁺ on convolutions, ε on dense layers."""

    @property
    def convolution(self) -> Rule:
        return ZPlus()


@dataclasses.dataclass(frozen=True)
class EpsilonPlusFlat(EpsilonPlus):
    """`epsilon_plus` with a flat first layer."""

    @property
    def first_layer(self) -> Rule | None:
        return Flat()


@dataclasses.dataclass(frozen=True)
class EpsilonAlpha2Beta1(_Convolutional):
    """α2β1 on convolutions, ε on dense layers."""

    @property
    def convolution(self) -> Rule:
        return AlphaBeta(2.0, 1.0)


@dataclasses.dataclass(frozen=True)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """`epsilon_alpha2_beta1` with a flat first layer."""

    @property
    def first_layer(self) -> Rule | None:
        return Flat()


@dataclasses.dataclass(frozen=True)
class EpsilonGammaBox(_Convolutional):
    """γ on convolutions, ε on dense layers, z-box on first convolutions; `low` and `high` bound the model's input."""

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
    """z-box, γ, ε, LRP-0 by depth, max pooling as average (Montavon et al. 2019).

    VGG-16: convolution 1 z-box, 2–7 γ, 8–13 ε; with n convolutions the split is after round(7n/13).
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
    """Deep Taylor decomposition (Montavon et al. 2017): z-box (w² without bounds) first, z⁺ without bias after."""

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
    """z⁺ on layers, sums and pools in proportion (Zhang et al. 2016)."""

    def layer(self, role: Role) -> tuple[Rule, str]:
        return ZPlus(), "every layer"

    @property
    def batch_norm(self) -> Rule:
        return Pass()


@dataclasses.dataclass(frozen=True)
class AttnLrp(Composite):
    """AttnLRP (Achtibat et al. 2024): ε on layers (γ on request), products in halves, softmax by its Taylor term."""

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
    """CP-LRP (Ali et al. 2022): attention weights and gates are constant."""

    @property
    def product(self) -> Product:
        return "constant"


@dataclasses.dataclass(frozen=True)
class Gradient(Composite):
    """The true vector-Jacobian product of the output itself."""

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        return "gradient"

    @property
    def times_input(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True)
class GradientXInput(Gradient):
    """`gradient` times the input."""

    @property
    def times_input(self) -> bool:
        return True


@dataclasses.dataclass(frozen=True)
class Deconvnet(Gradient):
    """Gradient with ReLU's replaced by max(g, 0) (Zeiler & Fergus 2014)."""

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "deconvnet"


@dataclasses.dataclass(frozen=True)
class GuidedBackprop(Gradient):
    """Gradient with ReLU's replaced by max(g, 0)·1[z > 0] (Springenberg et al. 2015)."""

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "guided"


@dataclasses.dataclass(frozen=True)
class BetaSmooth(Gradient):
    """Gradient with ReLU's replaced by g·σ(10z), the derivative of a softplus (Dombrowski et al. 2019)."""

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "smooth"


@dataclasses.dataclass(frozen=True)
class Auto(Composite):
    """The default: rules that suit the model, chosen by deletion tests on trained networks (tools/defaults).

    The last layer before the score ε, convolutions over two or more axes γ, over one axis ε, dense layers ε. In a model
    with attention products share by halves (Achtibat et al. 2024), but a sigmoid or softmax gate of an elementwise
    product gets nothing. `flat_stem`: flat on a first convolution over a grey or colour picture.

    γ is bounded where z⁺ is not, because its denominator is never smaller than the layer's output: in nine kinds of
    hybrid (convolutions inside of attention blocks; random and trained, three seeds) max Σ|R| / max(|score|, .05) is 73
    with γ = 0.1, 133 with ε and 1,970 with z⁺ at the convolutions.
    """

    gamma: float = 0.1
    flat_stem: bool = False
    halves: bool = dataclasses.field(default=False, repr=False, compare=False)
    """True where products share by halves: `for_model` says so where there is attention."""

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
        """The composite that `auto` stands for in a model, and why."""
        if attention:
            kind = "attention and convolutions" if convolutions else "attention"
            return dataclasses.replace(self, halves=True), f"{kind}: products share by halves, gates get nothing"
        if convolutions:
            return self, "convolutions, no attention: products go to the signal"
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(Composite)}
        return Epsilon(**shared), "auto: no convolution, no attention"


@dataclasses.dataclass(frozen=True)
class Overridden:
    """A composite and overrides that are tried before it, first match wins; the content of a TOML file."""

    base: Composite
    rules: tuple[tuple[str, Rule], ...] = ()


COMPOSITES: Mapping[str, type[Composite]] = {
    "auto": Auto,
    "lrp0": Lrp0,
    "epsilon": Epsilon,
    "epsilon_gamma_box": EpsilonGammaBox,
    "epsilon_plus": EpsilonPlus,
    "epsilon_plus_flat": EpsilonPlusFlat,
    "epsilon_alpha2_beta1": EpsilonAlpha2Beta1,
    "epsilon_alpha2_beta1_flat": EpsilonAlpha2Beta1Flat,
    "vgg_overview": VggOverview,
    "deep_taylor": DeepTaylor,
    "excitation_backprop": ExcitationBackprop,
    "attn_lrp": AttnLrp,
    "cp_lrp": CpLrp,
    "gradient": Gradient,
    "gradient_x_input": GradientXInput,
    "deconvnet": Deconvnet,
    "guided_backprop": GuidedBackprop,
    "beta_smooth": BetaSmooth,
}


def parse(composite: str | Path | Composite | Overridden) -> Composite | Overridden:
    """A composite from a name (`"epsilon_plus"`), a call (`"epsilon_gamma_box(low=-1, high=1)"`) or a TOML file.

    Raises InputError with the known names where it is none of these.
    """
    if isinstance(composite, (Composite, Overridden)):
        return composite
    text = str(composite)
    if text.endswith(".toml"):
        return from_toml(Path(text))
    return call(text, COMPOSITES)


def from_toml(path: Path) -> Overridden:
    """A composite with overrides from a file:

    ```toml
    composite = "epsilon_plus"
    [[rules]]
    match = "/layer4/*"
    rule = "Gamma(0.1)"
    ```
    """
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InputError(f"{path} cannot be read as a composite: {e}") from e
    unknown = set(content) - {"composite", "rules"}
    try:
        rules = tuple((str(r["match"]), parse_rule(r["rule"])) for r in content.get("rules", []))
    except (TypeError, KeyError, AttributeError) as e:
        raise InputError(f"{path}: every [[rules]] entry needs a `match` and a `rule`, both text") from e
    if unknown:
        raise InputError(f"{path}: unknown entries {sorted(unknown)}; there are `composite` and `rules`")
    base = call(str(content.get("composite", "auto")), COMPOSITES)
    return Overridden(base, rules)
