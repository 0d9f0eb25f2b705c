"""The conservation ledger in float64: it closes at every step and in all, on every network and composite."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.compare import Explained, error
from tests.oracle.composites import composite, of_package
from tests.oracle.engine import LAYERS, Oracle
from tests.oracle.rules import Rule
from tests.oracle.zoo import NETS

BOX = {"low": -3.0, "high": 3.0}
COMPOSITES = [
    ("lrp0", {}),
    ("epsilon", {"epsilon": 0.1}),
    ("epsilon_gamma_box", BOX),
    ("epsilon_plus_flat", {}),
    ("epsilon_alpha2_beta1", {}),
    ("deep_taylor", {}),
    ("excitation_backprop", {}),
]
CLOSES = 1e-9


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_the_ledger_closes(net, case):
    name, params = case
    network = NETS[net]()
    feeds = network.feeds(batch=3, low=-3.0, high=3.0)
    explained = Explained(network.model(), composite=of_package(name, **params), ledger=True)
    outputs = explained.run(feeds)
    table = outputs[explained.interface.ledger].astype(np.float64)
    steps, marked = explained.interface.steps, explained.interface.marked
    assert table.shape == (len(steps), 5) == (len(marked), 5)
    arrives, passed, bias, epsilon, stopped = table.T
    size = np.abs(table).sum(1).max()
    open_steps = [
        f"{step}: {gap:.1e}"
        for step, gap in zip(steps, np.abs(arrives - passed - bias - epsilon - stopped), strict=True)
        if gap > CLOSES * size
    ]
    assert not open_steps
    truth = Oracle(network, feeds, composite(name, **params))
    scores = truth.values[network.outputs[0]].max(1)
    seeds = np.maximum(scores, 0).sum() if name == "deep_taylor" else scores.sum()
    arrived = outputs[explained.interface.relevance["x"]]
    assert error(arrived, truth.explain()["x"]) <= 1e-8
    assert abs(seeds - arrived.sum() - (bias + epsilon + stopped).sum()) <= CLOSES * size
    # and no network here has a step that does not conserve
    assert not any(marked)


@pytest.mark.parametrize("net", ["strided", "three_dimensional"])
def test_nothing_is_lost_without_bias_and_epsilon(net):
    """LRP-0 without bias: what leaves the output arrives at the input."""
    network = NETS[net]()
    feeds = network.feeds()
    layers = [
        (op, Rule("LRP0", zero_params="bias").of_package())
        for op in sorted({step.op for step in network.steps if step.kind in LAYERS})
    ]
    arrived = Explained(network.model(), composite="lrp0", rules=layers).relevance(feeds)["x"]
    scores = Oracle(network, feeds, composite("lrp0")).values[network.outputs[0]].max(1)
    np.testing.assert_allclose(arrived.reshape(2, -1).sum(1), scores, rtol=1e-9)
