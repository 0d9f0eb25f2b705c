"""Relevance carried as amounts alone is right too: `pytest tests/exactness --forms=plain` checks more."""

from __future__ import annotations

import pytest

from tests.oracle.compare import check_against_oracle, set_forms
from tests.oracle.composites import composite
from tests.oracle.zoo import NETS


@pytest.fixture
def plain():
    set_forms("plain")
    yield
    set_forms("cheapest")


@pytest.mark.parametrize("name", ["epsilon", "lrp0", "epsilon_plus", "epsilon_alpha2_beta1"])
@pytest.mark.parametrize("net", ["strided", "residual", "inception", "smooth", "clipped"])
def test_amounts_alone(plain, net, name):
    check_against_oracle(NETS[net](), {"composite": name}, {"composite": composite(name)})


def test_fewer_operators_in_the_cheapest_forms(plain):
    """The switch does something."""
    net = NETS["residual"]()
    slow = check_against_oracle(net, {"composite": "epsilon"}, {"composite": composite("epsilon")})
    set_forms("cheapest")
    fast = check_against_oracle(net, {"composite": "epsilon"}, {"composite": composite("epsilon")})
    assert len(fast.proto.graph.node) < len(slow.proto.graph.node)
