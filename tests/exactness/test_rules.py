"""Every rule and composite on small random float64 networks against the dense-matrix oracle, to 1e-8 relative."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onnxlrp import composites, rules
from tests.oracle.compare import TOLERANCE, Explained, check_against_oracle, error
from tests.oracle.composites import composite, of_package
from tests.oracle.engine import LAYERS
from tests.oracle.net import Net
from tests.oracle.rules import Rule
from tests.oracle.zoo import NETS

BOX = {"low": -3.0, "high": 3.0}
COMPOSITES = [
    ("lrp0", {}),
    ("epsilon", {}),
    ("epsilon", {"epsilon": 0.03}),
    ("epsilon_gamma_box", BOX),
    ("epsilon_plus", {}),
    ("epsilon_plus_flat", {}),
    ("epsilon_alpha2_beta1", {}),
    ("epsilon_alpha2_beta1_flat", {}),
    ("vgg_overview", BOX),
    ("deep_taylor", {}),
    ("deep_taylor", BOX),
    ("excitation_backprop", {}),
    ("attn_lrp", {}),
    ("attn_lrp", {"gamma": 0.5}),
    ("cp_lrp", {}),
    ("auto", {}),
    ("gradient", {}),
    ("gradient_x_input", {}),
    ("deconvnet", {}),
    ("guided_backprop", {}),
    ("beta_smooth", {}),
]
RULES = [
    Rule("LRP0"),
    Rule("LRP0", zero_params="bias"),
    Rule("Epsilon"),
    Rule("Epsilon", epsilon=0.1),
    Rule("Epsilon", epsilon=1e-9, relative=0.25),
    Rule("Epsilon", zero_params="bias"),
    Rule("Epsilon", epsilon=0.1, stabiliser="clamp"),
    Rule("Epsilon", relative=0.25, stabiliser="clamp"),
    Rule("Gamma", gamma=0.25),
    Rule("Gamma", gamma=0.25, epsilon=0.2, stabiliser="clamp"),
    Rule("Gamma", gamma=1.5, epsilon=0.01, relative=0.1),
    Rule("Gamma", gamma=0.25, zero_params="bias"),
    Rule("ZPlus"),
    Rule("ZPlus", relative=0.2),
    Rule("ZPlus", epsilon=0.3, stabiliser="clamp"),
    Rule("ZPlus", zero_params="bias"),
    Rule("AlphaBeta", alpha=2.0, beta=1.0),
    Rule("AlphaBeta", alpha=1.0, beta=0.0),
    Rule("AlphaBeta", alpha=1.5, beta=0.5, epsilon=0.05),
    Rule("AlphaBeta", alpha=3.0, beta=2.0, relative=0.1),
    Rule("AlphaBeta", alpha=2.0, beta=1.0, zero_params="bias"),
    Rule("AlphaBeta", alpha=2.0, beta=1.0, epsilon=0.2, stabiliser="clamp"),
    Rule("WSquare"),
    Rule("WSquare", zero_params="bias", relative=0.5),
    Rule("Flat"),
    Rule("Flat", epsilon=0.5),
]
# the windows of these max pools are of one size: what a padded window weighs as an average, docs/rules.md leaves open
VGG_LIKE = ("three_dimensional", "one_dimensional", "perceptron", "mixer", "residual")


def is_layerwise(kind: type[composites.Composite]) -> bool:
    """Composites that need the bounds of the input are."""
    return any(f.default is dataclasses.MISSING for f in dataclasses.fields(kind)) or kind().layerwise


def test_every_rule_and_composite_is_compared():
    """`Norm` and `Pass` are for steps that are no layers, which composites bring; `ZBox` has tests of its own below.

    The composites that are no rules for layers have theirs in `tests/emit`."""
    assert {*rules.RULES} - {rule.name for rule in RULES} == {"Norm", "Pass", "ZBox"}
    elsewhere = {name for name, kind in composites.COMPOSITES.items() if not is_layerwise(kind)}
    assert {*composites.COMPOSITES} - {name for name, _ in COMPOSITES} == elsewhere


def _layers(network: Net) -> list[str]:
    """The operators of its layers: a rule for an operator that is not there is an error."""
    return sorted({step.op for step in network.steps if step.kind in LAYERS})


def _id(case: tuple[str, dict]) -> str:
    return "-".join([case[0], *map(str, case[1].values())])


@pytest.mark.parametrize(
    ("net", "case"),
    [(net, case) for case in COMPOSITES for net in (VGG_LIKE if case[0] == "vgg_overview" else NETS)],
    ids=lambda value: value if isinstance(value, str) else _id(value),
)
def test_composites(net, case):
    name, params = case
    network = NETS[net]()
    feeds = network.feeds(low=-3.0, high=3.0) if "low" in params else network.feeds()
    options = {"composite": of_package(name, **params)}
    check_against_oracle(network, options, {"composite": composite(name, **params)}, feeds)


@pytest.mark.parametrize("net", ["strided", "transposed", "mixer", "smooth"])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_rules(net, rule):
    network = NETS[net]()
    overrides = dict.fromkeys(_layers(network), rule)
    options = {"composite": "epsilon", "rules": [(op, rule.of_package()) for op in overrides]}
    check_against_oracle(network, options, {"composite": composite("epsilon"), "overrides": overrides})


@pytest.mark.parametrize("net", ["strided", "mixer", "residual", "inception", "three_dimensional"])
def test_a_composite_that_clamps(net):
    """With a large ε, so that every layer, sum and pool has denominators on both sides of it."""
    network = NETS[net]()
    options = {"composite": of_package("epsilon", epsilon=0.2, stabiliser="clamp")}
    theirs = dataclasses.replace(composite("epsilon", epsilon=0.2), clamps="always")
    check_against_oracle(network, options, {"composite": theirs})


@pytest.mark.parametrize("net", ["one_dimensional", "three_dimensional", "auto_padded", "perceptron"])
@pytest.mark.parametrize("name", ["Gamma", "AlphaBeta", "WSquare", "Flat"])
def test_rules_on_more_shapes(net, name):
    network, rule = NETS[net](), Rule(name)
    overrides = dict.fromkeys(_layers(network), rule)
    options = {"composite": "epsilon_plus", "rules": [(op, rule.of_package()) for op in overrides]}
    check_against_oracle(network, options, {"composite": composite("epsilon_plus"), "overrides": overrides})


@pytest.mark.parametrize("rule", [rule for rule in RULES if "zero_params" not in rule.params], ids=repr)
def test_a_rule_for_every_node_reaches_every_layer(rule):
    """`perceptron` has nothing but layers and ReLU's, so a pattern for all nodes is one for all layers."""
    network = NETS["perceptron"]()
    overrides = dict.fromkeys(_layers(network), rule)
    options = {"composite": "epsilon", "rules": [("*", rule.of_package())]}
    check_against_oracle(network, options, {"composite": composite("epsilon"), "overrides": overrides})


@pytest.mark.parametrize("net", ["strided", "transposed", "one_dimensional", "mixer"])
@pytest.mark.parametrize("bounds", ["numbers", "channels", "broadcast", "cells"])
@pytest.mark.parametrize("zero_params", [None, "bias"])
def test_box_bounds(net, bounds, zero_params):
    """Bounds as numbers, one per channel, broadcast as Zennit has them, or of the input's shape, on the first layer."""
    network = NETS[net]()
    shape = network.inputs["x"]
    per_channel = (shape[0], *[1] * (len(shape) - 1))
    size = {"numbers": (), "channels": per_channel, "broadcast": (1, *per_channel), "cells": shape}[bounds]
    rng = np.random.default_rng(0)
    low, high = -rng.uniform(2, 3, size=size), rng.uniform(2, 3, size=size)
    rule = Rule("ZBox", low=low, high=high, **({"zero_params": "bias"} if zero_params else {}))
    given = [float(v) if bounds == "numbers" else v.ravel() if bounds == "channels" else v for v in (low, high)]
    theirs = Rule("ZBox", **rule.params | dict(zip(("low", "high"), given, strict=True))).of_package()
    options = {"composite": "epsilon_plus", "rules": [(network.steps[0].nodes[0].name, theirs)]}
    oracle = {"composite": composite("epsilon_plus"), "overrides": {network.steps[0].nodes[0].name: rule}}
    check_against_oracle(network, options, oracle, network.feeds(low=-2.0, high=2.0))


@pytest.mark.parametrize("net", ["strided", "depthwise", "transposed", "three_dimensional", "inception", "perceptron"])
def test_lrp0_is_gradient_times_input_on_relu_networks(net):
    network = NETS[net]()
    feeds = network.feeds()
    lrp = Explained(network.model(), composite="lrp0").relevance(feeds)["x"]
    gradient = Explained(network.model(), composite="gradient").relevance(feeds)["x"]
    product = Explained(network.model(), composite="gradient_x_input").relevance(feeds)["x"]
    assert error(lrp, product) <= TOLERANCE
    assert error(product, gradient * feeds["x"]) <= 1e-12


def test_the_oracle_says_the_same():
    """So that an error common to both paths of the compiler would be seen."""
    from tests.oracle.engine import Oracle

    network = NETS["inception"]()
    feeds = network.feeds()
    truth = [Oracle(network, feeds, composite(name)).explain()["x"] for name in ("lrp0", "gradient_x_input")]
    assert error(*truth) <= 1e-11


@pytest.mark.parametrize("net", ["strided", "residual", "mixer"])
@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_alpha2_beta1_flat", "gradient"])
@pytest.mark.parametrize("positive", [True, False])
def test_inputs_of_one_sign(net, name, positive):
    """Where the compiler may leave terms out because an input cannot be negative: only if it truly cannot."""
    network = NETS[net]()
    feeds = {key: np.abs(value) if positive else -np.abs(value) for key, value in network.feeds().items()}
    check_against_oracle(network, {"composite": name}, {"composite": composite(name)}, feeds)


@pytest.mark.parametrize("opset", [9, 11, 13, 17])
@pytest.mark.parametrize("net", ["symmetric", "residual"])
def test_older_opsets_mean_the_same(net, opset):
    model = NETS[net]().model()
    network = NETS[net]()
    model.opset_import[0].version = opset
    model.ir_version = 4
    check_against_oracle(network, {"composite": "epsilon_plus"}, {"composite": composite("epsilon_plus")}, model=model)
