"""The oracle itself against Zennit in float64, without the compiler in between."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.composites import composite
from tests.oracle.engine import Oracle
from tests.oracle.rules import Layer, Rule
from tests.oracle.zoo import NETS
from tests.peers.torch_nets import COMPOSITES, TorchNet, core, explain, rules, torch

pytestmark = pytest.mark.peers
LIKE_TORCH = [name for name in NETS if name not in ("strided", "auto_padded", "mixer", "perceptron", "smooth")]


# a batch norm that no layer took in, and an activation that is no ReLU: docs/rules.md passes them, Zennit's
# ExcitationBackprop gives them their plain gradient
UNLIKE = {("residual", "excitation_backprop"), ("clipped", "excitation_backprop")}
PAIRS = [(net, name) for net in LIKE_TORCH for name in COMPOSITES if (net, name) not in UNLIKE]


@pytest.mark.parametrize(("net", "name"), PAIRS)
def test_the_oracle_agrees_with_zennit(net, name):
    network = NETS[net]()
    params = {"low": -3.0, "high": 3.0} if name == "epsilon_gamma_box" else {}
    feeds = network.feeds(low=-3.0, high=3.0)
    ours = Oracle(network, feeds, composite(name, **params)).explain()["x"]
    theirs = explain(TorchNet(network), feeds["x"], name, params=params)
    assert np.linalg.norm(theirs) > 0
    assert np.linalg.norm(ours - theirs) <= 1e-9 * np.linalg.norm(theirs)


def _stabiliser(epsilon=1e-6, relative=0.0):
    assert not (epsilon and relative), "Zennit has one or the other"
    return core.Stabilizer(relative, norm_scale=True) if relative else epsilon


@pytest.mark.parametrize(
    "rule",
    [
        Rule("Epsilon", epsilon=0.01),
        Rule("Epsilon", epsilon=0.0, relative=0.25),
        Rule("Epsilon", zero_params="bias"),
        Rule("Gamma", gamma=0.25),
        Rule("Gamma", gamma=2.0, epsilon=0.0, relative=0.1),
        Rule("ZPlus"),
        Rule("ZPlus", zero_params="bias"),
        Rule("AlphaBeta", alpha=2.0, beta=1.0, zero_params="bias"),
        Rule("AlphaBeta", alpha=1.0, beta=0.0),
        Rule("AlphaBeta", alpha=1.5, beta=0.5, epsilon=0.1),
        Rule("ZBox", low=-2.5, high=3.5),
        Rule("ZBox", low=-2.5, high=3.5, zero_params="bias"),
        Rule("WSquare"),
        Rule("WSquare", zero_params="bias", epsilon=0.0, relative=0.5),
        Rule("Flat", epsilon=0.5),
    ],
    ids=repr,
)
def test_each_rule_agrees_with_zennit(rule):
    rng = np.random.default_rng(0)
    A, b, x, r = (rng.normal(size=shape) for shape in ((5, 7), 5, 7, 5))
    params = dict(rule.params)
    stabiliser = _stabiliser(params.pop("epsilon", 1e-6), params.pop("relative", 0.0))
    params["epsilon" if rule.name == "Epsilon" else "stabilizer"] = stabiliser
    layer = torch.nn.Linear(7, 5).double()
    layer.weight.data, layer.bias.data = torch.from_numpy(A), torch.from_numpy(b)
    hook = getattr(rules, rule.name)(**params)
    handles = hook.register(layer)
    data = torch.from_numpy(x[None]).requires_grad_()
    (theirs,) = torch.autograd.grad((layer(data),), (data,), (torch.from_numpy(r[None]),))
    handles.remove()
    np.testing.assert_allclose(rule(Layer(A, b), x, r), theirs[0].numpy(), rtol=1e-11, atol=1e-13)
