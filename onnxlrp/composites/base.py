"""Base of all composites, and the facts about a layer that they choose by."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

from onnxlrp.errors import InputError
from onnxlrp.reprs import Brief
from onnxlrp.rules import Bound, Epsilon, Norm, Rule

Product = Literal["uniform", "gated", "signal", "constant"]
"""Ways to share out the relevance of a product of two data operands; see `Composite.product`."""


@dataclasses.dataclass(frozen=True)
class Role:
    """Facts about a layer and its model that a composite may use."""

    kind: str
    """"convolution", "dense", "recurrent" or "embedding"."""
    first: bool = False
    """True if no other layer is among its ancestors."""
    last: bool = False
    """True if no other layer lies between it and the score."""
    spatial: int = 0
    """Number of spatial axes that a convolution runs over; 0 for other layers."""
    channels: int = 0
    """Number of input channels of a convolution, over all its groups; 0 if unknown."""
    overlaps: bool = False
    """True if a convolution's kernel is larger than its stride along every axis."""
    index: int = 0
    """Position among the model's convolutions, in topological order, from 0."""
    convolutions: int = 0
    """Number of convolutions in the model."""
    attention: bool = False
    """True if the model has attention."""
    on_map: bool = False
    """True if the score is one place of a map, as in segmentation."""

    @property
    def first_convolution(self) -> bool:
        return self.first and self.kind == "convolution"

    @property
    def is_patches(self) -> bool:
        """True for a first convolution over two or more axes whose windows lie side by side, as in transformers."""
        return self.first_convolution and self.spatial > 1 and not self.overlaps

    @property
    def picture_stem(self) -> bool:
        """True for a first convolution over a grey or colour picture: 2 axes, 1 or 3 channels, overlapping windows."""
        return self.first_convolution and self.spatial == 2 and self.channels in (1, 3) and self.overlaps


@dataclasses.dataclass(frozen=True)
class Points(Brief):
    """Points at which a gradient is taken: `baseline + scale·(input − baseline)`, or the input where there is no
    baseline, plus noise."""

    scales: tuple[float, ...]
    """Scale of each point."""
    weights: tuple[float, ...]
    """Weight of the gradient at each point; they add up to 1."""
    baseline: Bound = None
    """Baseline: a number, one number for each channel, or an array of the input's shape. The sum of gradients is
    multiplied by the input less this."""
    sigma: float = 0.0
    """Standard deviation of the noise at each point; 0 for none."""
    noise_seed: int = 0
    """Seed of the generator that draws the noise."""


@dataclasses.dataclass(frozen=True)
class Rolling(Brief):
    """Way to turn the attention weights of a block into one matrix."""

    heads: Literal["mean", "max", "min"]
    """Reduction of the heads."""
    residual: float
    """Share of the identity."""


@dataclasses.dataclass(frozen=True)
class Composite(Brief):
    """Base of all composites; by itself it uses ε everywhere. A composite of your own derives from it with a `layer`.

    Parameters
    ----------
    activations
        The treatment of elementwise activations with f(0) ≠ 0, such as a sigmoid. `"offset"` (default): they keep the
        share of f(0) and pass the rest on, so that relevance has the sign of the operand's effect. `"pass"`: they pass
        everything on, as in Zennit and LXT, whose maps may be upside down there; meant for comparisons with them.
    trees
        The values that explain a tree ensemble. `"shapley"` (default): exact Shapley values of the expectations that
        the ensemble's covers give (SHAP's `tree_path_dependent`). `"path"`: the changes of the expectation along the
        path that a sample takes. `"interventional"`: exact Shapley values against the rows of `background=`, which the
        explained file then holds. Ensembles that take the smallest or largest of their trees always use `"path"`.
    zero_params
        `"bias"` sets the bias of every layer to 0 in outputs and denominators, so that biases keep no relevance: the
        `zero_params` of the rule that the composite chooses. Rules for single layers keep their own. Default: None, the
        rule's own. Gradients take none.
    stabiliser
        The way in which ε keeps denominators away from 0, in every rule that the composite chooses: `"add"` or
        `"clamp"`, under which float32 rounds less in networks of convolutions; `Rule` describes both. Rules for single
        layers keep their own. Default: None, the rule's own, which is `"add"`. Gradients have no denominators and take
        none.

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
    trees: Literal["shapley", "path", "interventional"] = dataclasses.field(default="shapley", kw_only=True)
    zero_params: Literal["bias"] | None = dataclasses.field(default=None, kw_only=True)
    stabiliser: Literal["add", "clamp"] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.activations not in ("offset", "pass"):
            raise InputError(f'activations is "offset" or "pass", not {self.activations!r}')
        if self.trees not in ("shapley", "path", "interventional"):
            raise InputError(f'trees is "shapley", "path" or "interventional", not {self.trees!r}')
        if self.zero_params not in (None, "bias"):
            raise InputError(f'zero_params is None or "bias", not {self.zero_params!r:.80}')
        if self.zero_params is not None and self.seed == "gradient":
            raise InputError("a gradient has no rules for layers, so it takes no zero_params")
        if self.stabiliser not in (None, "add", "clamp"):
            raise InputError(f'stabiliser is None, "add" or "clamp", not {self.stabiliser!r:.80}')
        if self.stabiliser is not None and self.seed == "gradient":
            raise InputError("a gradient divides by nothing, so it takes no stabiliser")

    def layer_rule(self, role: Role) -> tuple[Rule, str]:
        """Return the rule of a layer, and why: what `layer` chooses, with the composite's `zero_params` and
        `stabiliser`."""
        rule, why = self.layer(role)
        if self.zero_params is not None and rule.zero_params is None:
            rule = dataclasses.replace(rule, zero_params=self.zero_params)
        return self.stabilised(rule), why

    def stabilised(self, rule: Rule) -> Rule:
        """Return a rule that the composite chose, with the composite's `stabiliser` where it divides by one."""
        return rule if self.stabiliser is None else with_stabiliser(rule, self.stabiliser)

    def layer(self, role: Role) -> tuple[Rule, str]:
        """Return the rule of a layer with this role, and why, in a few words."""
        return Epsilon(), "every layer"

    @property
    def norm(self) -> Rule:
        """Rule for sums, averages and constants that are added."""
        return Norm()

    @property
    def batch_norm(self) -> Rule:
        """Rule for a batch norm that is folded into no layer."""
        return Epsilon()

    @property
    def product(self) -> Product:
        """Way to share out the relevance of a product of two data operands.

        "uniform": half each; "gated": half each, but nothing to the gate of an elementwise product; "signal": all to
        the signal; "constant": all to the signal, and nothing to attention weights.
        """
        return "signal"

    def pooling(self, before: int, convolutions: int) -> Rule | None:
        """Return the rule for a max pool that is explained as average pooling. `before` counts the convolutions
        upstream of the pool, `convolutions` those of the model.

        None stands for winner-takes-all: the pool is explained as what it is.
        """
        return None

    @property
    def seed(self) -> Literal["score", "positive", "gradient"]:
        """Start of relevance: the score, max(0, score), or, for gradients, 1 at the output itself."""
        return "score"

    @property
    def rectifier(self) -> Literal["gradient", "deconvnet", "guided", "smooth"]:
        """Treatment of the gradient at a ReLU, in composites that are gradients."""
        return "gradient"

    @property
    def times_input(self) -> bool:
        """True if the relevance of an input is multiplied by the input at the end; False for plain gradients only."""
        return True

    @property
    def reference(self) -> Bound:
        """Baseline that changes are counted from in the place of derivatives; None for derivatives."""
        return None

    @property
    def is_given_in_calls(self) -> bool:
        """True if each call gives the reference, which `reference` is the default of."""
        return False

    @property
    def explains_output(self) -> bool:
        """True if the output itself is explained, not the score that a final softmax or sigmoid computes it from."""
        return self.seed == "gradient"

    @property
    def points(self) -> Points | None:
        """Points over which a gradient is averaged; None for the gradient at the input."""
        return None

    @property
    def map_weights(self) -> Literal["channel", "element"] | None:
        """Weights of the channels of a class activation map: one for each channel, or for each element; None where no
        such map is computed."""
        return None

    @property
    def map_layer(self) -> str | None:
        """Name of the inner value that a class activation map is computed from; None for the last convolution."""
        return None

    @property
    def rolling(self) -> Rolling | None:
        """Way to turn the attention weights of every block into one matrix, whose product is the relevance; None where
        attention weights are not rolled out."""
        return None

    @property
    def layerwise(self) -> bool:
        """True if relevance is what every step hands on, and nothing else; False for methods around a gradient, which
        need not be for every model."""
        others = (self.reference, self.points, self.map_weights, self.rolling)
        return all(other is None for other in others)

    def __str__(self) -> str:
        given = [
            f"{f.name}={getattr(self, f.name)!r}"
            for f in dataclasses.fields(self)
            if f.repr and getattr(self, f.name) is not f.default
        ]
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(self).__name__).lower()
        return f"{name}({', '.join(given)})" if given else name


def with_stabiliser(rule: Rule, stabiliser: Literal["add", "clamp"]) -> Rule:
    """Return a rule with this stabiliser; a rule without ε has none."""
    return dataclasses.replace(rule, stabiliser=stabiliser) if rule.epsilon or rule.relative else rule


@dataclasses.dataclass(frozen=True)
class Overridden(Brief):
    """A composite with overrides that are tried first, in order; the content of a TOML file.

    ```python
    from onnxlrp.rules import Gamma

    ours = onnxlrp.composites.Overridden(onnxlrp.composites.EpsilonPlus(), (("/layer4/*", Gamma(0.1)),))
    explained = onnxlrp.convert("model.onnx", composite=ours)
    ```
    """

    base: Composite
    """Composite for all steps that no override matches."""
    rules: tuple[tuple[str, Rule], ...] = ()
    """Overrides: a pattern (a node's name with wildcards, or an operator) and its rule."""
