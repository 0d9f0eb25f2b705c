"""Names of composites: onnxlrp's own, those that users register, and TOML files."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from onnxlrp.composites.activation_maps import GradCam, LayerCam
from onnxlrp.composites.attention_rollout import AttentionRollout
from onnxlrp.composites.auto import Auto
from onnxlrp.composites.averaged_gradients import IntegratedGradients, SmoothGrad
from onnxlrp.composites.base import Composite, Overridden
from onnxlrp.composites.deep_lift import DeepLift
from onnxlrp.composites.good_for import GOOD_FOR
from onnxlrp.composites.lrp import (
    AttnLrp,
    CpLrp,
    DeepTaylor,
    Epsilon,
    EpsilonAlpha2Beta1,
    EpsilonAlpha2Beta1Flat,
    EpsilonGammaBox,
    EpsilonPlus,
    EpsilonPlusFlat,
    ExcitationBackprop,
    Lrp0,
    VggOverview,
)
from onnxlrp.composites.modified_gradients import BetaSmooth, Deconvnet, Gradient, GradientXInput, GuidedBackprop
from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.reprs import Brief
from onnxlrp.rules import parse as parse_rule
from onnxlrp.written_calls import call

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
    "grad_cam": GradCam,
    "layer_cam": LayerCam,
    "integrated_gradients": IntegratedGradients,
    "smooth_grad": SmoothGrad,
    "deep_lift": DeepLift,
    "attention_rollout": AttentionRollout,
}
"""Composites of onnxlrp itself, by name."""


def parse(composite: str | Path | Composite | Overridden) -> Composite | Overridden:
    """Make a composite from a name (`"epsilon_plus"`), a call (`"epsilon_gamma_box(low=-1, high=1)"`) or a TOML file.

    Raises InputError with the known names if it is none of these.
    """
    if isinstance(composite, (Composite, Overridden)):
        return composite
    text = str(composite)
    if text.endswith(".toml"):
        return from_toml(Path(text))
    parsed_composite: Composite | Overridden = call(text, _by_name())
    return parsed_composite


def from_toml(path: Path) -> Overridden:
    """Read a composite with overrides from a file of this form:

    ```toml
    composite = "epsilon_plus"
    [[rules]]
    match = "/layer4/*"
    rule = "Gamma(0.1)"
    ```

    Raises InputError if the file cannot be read as a composite.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise InputError(f"{path} cannot be read as a composite: {e}") from e
    unknown = set(content) - {"composite", "rules"}
    try:
        rules = tuple((str(r["match"]), parse_rule(r["rule"])) for r in content.get("rules", []))
    except (TypeError, KeyError, AttributeError) as e:
        raise InputError(f"{path}: every [[rules]] entry needs a `match` and a `rule`, both text") from e
    if unknown:
        near = did_you_mean(min(unknown), ("composite", "rules"))
        raise InputError(f"{path}: unknown entries {sorted(unknown)}{near}; there are `composite` and `rules`")
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
    """Remove a composite that `onnxlrp.composites.register` entered under this name.

    Raises InputError if there is none; onnxlrp's own composites cannot be removed.
    """
    if name not in _OWN:
        near = did_you_mean(name, _OWN)
        raise InputError(f"no composite {name!r} was registered{near}; there are: {', '.join(_OWN) or 'none'}")
    del _OWN[name]


@dataclasses.dataclass(frozen=True)
class Listed(Brief):
    """A line of `onnxlrp composites`."""

    composite: str
    """Name of the composite, with its arguments and their defaults."""
    purpose: str
    """First paragraph of the composite's docstring: what it computes."""
    good_for: str = ""
    """Sentence that says what the composite is good for; empty for users' own."""


def table() -> list[Listed]:
    """List every composite that has a name, users' own last."""
    every = {**COMPOSITES, **_OWN}
    return [
        Listed(_form(name, one), _purpose(one), "" if name in _OWN else GOOD_FOR[name]) for name, one in every.items()
    ]


def _by_name() -> dict[str, Callable[..., Composite | Overridden]]:
    """Map every name to a function that makes its composite."""
    own = {
        name: composite if isinstance(composite, type) else functools.partial(_finished, composite)
        for name, composite in _OWN.items()
    }
    return {**COMPOSITES, **own}


def _finished(composite: Composite | Overridden) -> Composite | Overridden:
    return composite


def _form(name: str, composite: type[Composite] | Composite | Overridden) -> str:
    fields = sorted(dataclasses.fields(composite), key=lambda f: bool(f.kw_only)) if isinstance(composite, type) else []
    shown = [f.name if f.default is dataclasses.MISSING else f"{f.name}={f.default!r}" for f in fields if f.repr]
    return f"{name}({', '.join(shown)})" if shown else name


def _purpose(composite: type[Composite] | Composite | Overridden) -> str:
    if not isinstance(composite, type):
        return repr(composite)
    return " ".join((inspect.getdoc(composite) or "").split("\n\n")[0].split())
