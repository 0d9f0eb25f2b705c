"""Which rule where: every composite of the field under its usual name.

A composite answers for a *layer* by its role in the model (first match wins, from the most to the least specific) and
says how the few kinds of step without parameters are treated. It names no operator.

```python
from onnxlrp.composites import EpsilonPlus

explained = onnxlrp.convert("model.onnx", composite=EpsilonPlus())
explained = onnxlrp.convert("model.onnx", composite="epsilon_plus")  # the same by name
```
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from onnxlrp.errors import InputError
from onnxlrp.reprs import Brief
from onnxlrp.rules import LRP0, AlphaBeta, Bound, Flat, Gamma, Norm, Pass, Rule, WSquare, ZBox, ZPlus, call
from onnxlrp.rules import Epsilon as EpsilonRule
from onnxlrp.rules import parse as parse_rule

__all__ = [
    "COMPOSITES",
    "AttnLrp",
    "Auto",
    "BetaSmooth",
    "Composite",
    "CpLrp",
    "Deconvnet",
    "DeepTaylor",
    "Epsilon",
    "EpsilonAlpha2Beta1",
    "EpsilonAlpha2Beta1Flat",
    "EpsilonGammaBox",
    "EpsilonPlus",
    "EpsilonPlusFlat",
    "ExcitationBackprop",
    "Gradient",
    "GradientXInput",
    "GuidedBackprop",
    "Listed",
    "Lrp0",
    "Overridden",
    "Product",
    "Role",
    "VggOverview",
    "from_toml",
    "parse",
    "register",
    "table",
    "unregister",
]

Product = Literal["uniform", "gated", "signal", "constant"]
"""How a product of two data operands shares its relevance out: see `Composite.product`."""


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
class Composite(Brief):
    """Base of all composites; as it stands, ε everywhere. A composite of your own derives from it and has a `layer`.

    Parameters
    ----------
    activations
        The treatment of elementwise activations with f(0) ≠ 0, such as a sigmoid. `"offset"` (default): they keep the
        share of f(0) and pass the rest on, so that relevance has the sign of the operand's effect. `"pass"`: they pass
        everything on, as in Zennit and LXT, whose maps may be upside down there; meant for comparisons with them.

    Raises
    ------
    InputError
        An argument has no such value.

    Examples
    --------
    ```python
    import dataclasses

    from onnxlrp.composites import Composite
    from onnxlrp.rules import Epsilon, Gamma


    @dataclasses.dataclass(frozen=True)
    class Ours(Composite):
        gamma: float = 0.1

        def layer(self, role):
            rule = Gamma(self.gamma) if role.kind == "convolution" else Epsilon()
            return rule, f"{role.kind} layer"  # the rule, and why, as the plan shows it


    explained = onnxlrp.convert("model.onnx", composite=Ours(gamma=0.2))
    ```
    """

    activations: Literal["offset", "pass"] = dataclasses.field(default="offset", kw_only=True)

    def __post_init__(self) -> None:
        if self.activations not in ("offset", "pass"):
            raise InputError(f'activations is "offset" or "pass", not {self.activations!r}')

    def layer(self, role: Role) -> tuple[Rule, str]:
        """Return the rule of a layer with this role, and why, in a few words."""
        return EpsilonRule(), "every layer"

    @property
    def norm(self) -> Rule:
        """Rule of sums, averages and constants that are added."""
        return Norm()

    @property
    def batch_norm(self) -> Rule:
        """Rule of a batch norm that is folded into no layer."""
        return EpsilonRule()

    @property
    def product(self) -> Product:
        """Shares of a product of two data operands.

        "uniform": half each; "gated": half each, but nothing to the gate of an elementwise product; "signal": all to
        the signal; "constant": all to the signal, and nothing to attention weights.
        """
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
        """Treatment of the gradient at a ReLU, in composites that are gradients."""
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
    """LRP-0 everywhere, every other ε is 0 too: gradient × input on ReLU networks (Bach et al. 2015).

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

    ```python
    explained = onnxlrp.convert("model.onnx", composite="epsilon_gamma_box(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(hash=False)
    high: Bound = dataclasses.field(hash=False)
    gamma: float = 0.25

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

    Parameters
    ----------
    low, high
        Bounds of the model's input: a number, one number for each channel, or an array of the input's shape. Required.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="vgg_overview(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(hash=False)
    high: Bound = dataclasses.field(hash=False)

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
    """Deep Taylor decomposition (Montavon et al. 2017): z-box (w² without bounds) first, z⁺ without bias after.

    Parameters
    ----------
    low, high
        Bounds of the model's input: a number, one number for each channel, or an array of the input's shape. Default:
        none.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="deep_taylor(low=0, high=1)")
    ```
    """

    low: Bound = dataclasses.field(default=None, hash=False)
    high: Bound = dataclasses.field(default=None, hash=False)

    def layer(self, role: Role) -> tuple[Rule, str]:
        if role.first and self.low is not None and self.high is not None:
            return ZBox(self.low, self.high), "first layer, bounds given"
        if role.first:
            return WSquare(), "first layer"
        return ZPlus(zero_params="bias"), "every other layer"

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        return "positive"


@dataclasses.dataclass(frozen=True)
class ExcitationBackprop(Composite):
    """z⁺ on layers, sums and pools in proportion (Zhang et al. 2016).

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
    """CP-LRP (Ali et al. 2022): attention weights and gates are constant.

    Parameters
    ----------
    gamma
        γ of all layers, at least 0. Default: None, ε without γ.
    epsilon
        ε of the stabiliser, at least 0. Default: 1e-6.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="cp_lrp")
    ```
    """

    @property
    def product(self) -> Product:
        return "constant"


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
    """Gradient with ReLU's replaced by max(g, 0) (Zeiler & Fergus 2014).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="deconvnet")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "deconvnet"


@dataclasses.dataclass(frozen=True)
class GuidedBackprop(Gradient):
    """Gradient with ReLU's replaced by max(g, 0)·1[z > 0] (Springenberg et al. 2015).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="guided_backprop")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "guided"


@dataclasses.dataclass(frozen=True)
class BetaSmooth(Gradient):
    """Gradient with ReLU's replaced by g·σ(10z), the derivative of a softplus (Dombrowski et al. 2019).

    ```python
    explained = onnxlrp.convert("model.onnx", composite="beta_smooth")
    ```
    """

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        return "smooth"


@dataclasses.dataclass(frozen=True)
class Auto(Composite):
    """The default: rules that suit the model, chosen by deletion tests on trained networks (tools/defaults).

    The last layer before the score ε, convolutions over two or more axes γ, over one axis ε, dense layers ε. In a model
    with attention products share by halves (Achtibat et al. 2024), but a sigmoid or softmax gate of an elementwise
    product gets nothing.

    γ is bounded where z⁺ is not, because its denominator is never smaller than the layer's output: in nine kinds of
    hybrid (convolutions inside of attention blocks; random and trained, three seeds) max Σ|R| / max(|score|, .05) is 73
    with γ = 0.1, 133 with ε and 1,970 with z⁺ at the convolutions.

    Parameters
    ----------
    gamma
        γ of convolutions over two or more axes, at least 0. Default: 0.1.
    flat_stem
        True takes Flat at a first convolution over a grey or colour picture. Default: False.

    ```python
    explained = onnxlrp.convert("model.onnx", composite="auto(gamma=0.25)")
    ```
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
class Overridden(Brief):
    """A composite and overrides that are tried before it, first match wins; the content of a TOML file.

    ```python
    from onnxlrp.rules import Gamma

    ours = onnxlrp.composites.Overridden(onnxlrp.composites.EpsilonPlus(), (("/layer4/*", Gamma(0.1)),))
    explained = onnxlrp.convert("model.onnx", composite=ours)
    ```
    """

    base: Composite
    """The composite for all steps that no override takes."""
    rules: tuple[tuple[str, Rule], ...] = ()
    """Patterns (a node's name with wildcards, or an operator), each with its rule."""


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
"""Every composite that onnxlrp brings along, by its name."""


def parse(composite: str | Path | Composite | Overridden) -> Composite | Overridden:
    """Make a composite from a name (`"epsilon_plus"`), a call (`"epsilon_gamma_box(low=-1, high=1)"`) or a TOML file.

    Raises InputError with the known names where it is none of these.
    """
    if isinstance(composite, (Composite, Overridden)):
        return composite
    text = str(composite)
    if text.endswith(".toml"):
        return from_toml(Path(text))
    made: Composite | Overridden = call(text, _by_name())
    return made


def from_toml(path: Path) -> Overridden:
    """Read a composite with overrides from a file, and raise InputError where it cannot be read as one:

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
    base = call(str(content.get("composite", "auto")), _by_name())
    return Overridden(base.base, (*rules, *base.rules)) if isinstance(base, Overridden) else Overridden(base, rules)


# ------------------------------------------------------------------------------------------- composites of users' own

_OWN: dict[str, type[Composite] | Composite | Overridden] = {}


def register(name: str, composite: type[Composite] | Composite | Overridden) -> None:
    """Give a composite of your own a name, by which `convert` and composite files find it.

    It is registered for the whole process, until `onnxlrp.composites.unregister`.

    Parameters
    ----------
    name
        A Python identifier that no other composite has.
    composite
        A subclass of `Composite`, whose fields are then arguments of the name (`"ours(gamma=0.2)"`), or a finished
        one: a `Composite`, or an `Overridden` with rules for single layers.

    Raises
    ------
    InputError
        The name is no identifier or is taken, or the composite is no composite.

    Examples
    --------
    ```python
    from onnxlrp.composites import AttnLrp, Overridden
    from onnxlrp.rules import ZPlus

    onnxlrp.composites.register("ours", Overridden(AttnLrp(gamma=0.1), (("/head/*", ZPlus()),)))
    explained = onnxlrp.convert("model.onnx", composite="ours")
    onnxlrp.composites.unregister("ours")
    ```
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError(f"a composite's name is a Python identifier, not {name!r:.80}")
    if name in _by_name():
        raise InputError(f"there is a composite {name!r} already")
    is_class = isinstance(composite, type) and issubclass(composite, Composite)
    if not is_class and not isinstance(composite, (Composite, Overridden)):
        raise InputError(f"a composite is a subclass of Composite, a Composite or an Overridden, not {composite!r:.80}")
    _OWN[name] = composite


def unregister(name: str) -> None:
    """Take out a composite that `onnxlrp.composites.register` entered under this name.

    Raises InputError where there is none; the composites that onnxlrp brings along cannot be taken out.
    """
    if name not in _OWN:
        raise InputError(f"no composite {name!r} was registered; there are: {', '.join(_OWN) or 'none'}")
    del _OWN[name]


@dataclasses.dataclass(frozen=True)
class Listed(Brief):
    """A line of `onnxlrp composites`."""

    composite: str
    """Its name, with its arguments and their defaults."""
    purpose: str
    """The first paragraph of its docstring."""


def table() -> list[Listed]:
    """List every composite that has a name, those of users' own last."""
    return [Listed(_form(name, made), _purpose(made)) for name, made in {**COMPOSITES, **_OWN}.items()]


def _by_name() -> dict[str, Callable[..., Composite | Overridden]]:
    """Map every name to what makes its composite."""
    own = {name: made if isinstance(made, type) else functools.partial(_finished, made) for name, made in _OWN.items()}
    return {**COMPOSITES, **own}


def _finished(composite: Composite | Overridden) -> Composite | Overridden:
    return composite


def _form(name: str, made: type[Composite] | Composite | Overridden) -> str:
    fields = sorted(dataclasses.fields(made), key=lambda f: bool(f.kw_only)) if isinstance(made, type) else []
    shown = [f.name if f.default is dataclasses.MISSING else f"{f.name}={f.default!r}" for f in fields if f.repr]
    return f"{name}({', '.join(shown)})" if shown else name


def _purpose(made: type[Composite] | Composite | Overridden) -> str:
    if not isinstance(made, type):
        return repr(made)
    return " ".join((inspect.getdoc(made) or "").split("\n\n")[0].split())
