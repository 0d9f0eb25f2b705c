"""The rule language means what it says: rules with any modifiers against the dense-matrix oracle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onnxlrp.rules import Above, AlphaBeta, Below, Flat, Gamma, Modifier, Share, Term, WSquare, ZPlus
from tests.oracle.compare import Explained, error
from tests.oracle.composites import composite
from tests.oracle.engine import LAYERS, Oracle
from tests.oracle.net import Net
from tests.oracle.written import Written

TOLERANCE = 1e-10
CONDITION = 1e4
"""Denominators this much smaller than their parts lose digits under any arithmetic."""
BOX = (-3.0, 3.0)

numbers = st.sampled_from([1.0, 1.0, -1.0, 2.0, 0.5, -0.3])
maybe = st.one_of(st.just(0.0), numbers)
modifiers = st.one_of(
    st.sampled_from([Modifier(same=1), Modifier(plus=1), Modifier(minus=1), Modifier(same=1, plus=0.25)]),
    st.builds(Modifier, same=numbers),
    st.builds(Modifier, plus=maybe, minus=maybe),
    st.builds(Modifier, same=maybe, plus=maybe, minus=maybe, square=maybe, one=maybe),
)
terms = st.builds(Term, modifiers, modifiers, st.one_of(st.none(), modifiers), factor=numbers)
gates = st.sampled_from([0, 0, 1, -1])
shares = st.builds(Share, st.lists(terms, min_size=1, max_size=3).map(tuple), numbers, gates)
known = st.sampled_from([Gamma(0.3), Gamma(0.0), ZPlus(), AlphaBeta(2, 1), AlphaBeta(1.5, 0.5), WSquare(), Flat()])


@st.composite
def near_known(draw: Any) -> tuple[Share, ...]:
    """The shares of a rule of the package, perhaps in another order, one part of one of them changed."""
    found = list(draw(st.permutations(draw(known).shares())))
    at = draw(st.integers(0, len(found) - 1))
    share = found[at]
    i = draw(st.integers(0, len(share.terms) - 1))
    term = draw(
        st.one_of(
            st.just(share.terms[i]),
            st.builds(lambda **parts: dataclasses.replace(share.terms[i], **parts), factor=numbers),
            st.builds(lambda **parts: dataclasses.replace(share.terms[i], **parts), x=modifiers),
            st.builds(lambda **parts: dataclasses.replace(share.terms[i], **parts), weight=modifiers),
            st.builds(lambda **parts: dataclasses.replace(share.terms[i], **parts), bias=modifiers),
        )
    )
    gate = draw(st.one_of(st.just(share.gate), gates))
    found[at] = dataclasses.replace(share, terms=(*share.terms[:i], term, *share.terms[i + 1 :]), gate=gate)
    return tuple(found)


boxed = st.builds(
    lambda up, down, more, coefficient: (
        Share((Term(Above(BOX[0]), up), Term(Below(BOX[1]), down)), coefficient),
        *more,
    ),
    modifiers,
    modifiers,
    st.lists(shares, max_size=1),
    numbers,
)
rules = st.builds(
    lambda found, **params: Written(*found, **params),
    st.one_of(st.lists(shares, min_size=1, max_size=3), near_known(), near_known(), boxed),
    epsilon=st.sampled_from([1e-6, 1e-6, 0.05, 0.0]),
    relative=st.sampled_from([0.0, 0.0, 0.2]),
    zero_params=st.sampled_from([None, None, "bias"]),
)


LAYER_KINDS = {
    "conv": lambda net, h, bias: net.conv(h, 4, 2, pads=[1, 0, 0, 1], strides=[1, 2], bias=bias),
    "grouped": lambda net, h, bias: net.conv(h, 4, 2, group=2, pads=[1, 1, 1, 1], bias=bias),
    "batch norm": lambda net, h, bias: net.batch_norm(net.conv(h, 4, 1, bias=bias)),
    "transposed": lambda net, h, bias: net.conv_transpose(h, 4, 2, bias=bias),
    "columns": lambda net, h, bias: net.matmul(h, 3, bias=bias),
    "rows": lambda net, h, bias: net.matmul(h, 3, bias=bias, left=True),
}
STEPS_BETWEEN = {
    "nothing": lambda net, h: h,
    "relu": Net.relu,
    "clip": lambda net, h: net.clip(h, 0.0, 2.0),
    "tanh": lambda net, h: net.activation(h, "Tanh"),
    "sigmoid": lambda net, h: net.activation(h, "Sigmoid"),
    "pool": lambda net, h: net.max_pool(net.relu(h), 2),
    "average": lambda net, h: net.average_pool(h, 2),
}


@st.composite
def networks(draw: Any) -> Net:
    """One to four layers of any kind, with what may stand between them."""
    net = Net(draw(st.integers(0, 9)), x=(2, 5, 4))
    h = draw(st.sampled_from(["x", "x", "average"]))
    h = h if h == "x" else net.average_pool("x", 2)
    for kind in draw(st.lists(st.sampled_from(list(LAYER_KINDS)), max_size=2)):
        h = LAYER_KINDS[kind](net, h, draw(st.booleans()))
        h = STEPS_BETWEEN[draw(st.sampled_from(list(STEPS_BETWEEN)))](net, h)
    h = net.flatten(h)
    if draw(st.booleans()):
        h = STEPS_BETWEEN[draw(st.sampled_from(["nothing", "relu", "tanh"]))](net, net.gemm(h, 6))
    return net.output(net.gemm(h, 4, bias=draw(st.booleans()), transposed=draw(st.booleans())))


@settings(deadline=None, derandomize=True, max_examples=150, database=None, suppress_health_check=list(HealthCheck))
@given(net=networks(), rule=rules, ledger=st.booleans(), positive=st.booleans())
def test_any_rule_computes_its_formula(net, rule, ledger, positive):
    """On every layer, at the input and at every value inside; with a ledger, which closes."""
    layers = [step.layer for step in net.steps if step.kind in LAYERS]
    names = [layer.name for layer in (layers[:1] if rule.name == "ZBox" else layers)]
    feeds = {name: np.abs(v) if positive else v for name, v in net.feeds(low=-2.5, high=2.5).items()}
    oracle = Oracle(net, feeds, composite("epsilon"), dict.fromkeys(names, rule))
    truth = oracle.explain()
    assume(rule.condition < CONDITION)
    inner = tuple(step.inputs[0] for step in net.steps if step.kind in LAYERS and step.inputs[0] != "x")
    options = {"rules": [(name, rule.of_package()) for name in names], "relevance_at": inner, "ledger": ledger}
    explained = Explained(net.model(), composite="epsilon", **options)
    outputs = explained.run(feeds)
    for source, name in {**explained.interface.relevance, **explained.interface.relevance_at}.items():
        if truth[source].any():
            assert error(outputs[name], truth[source]) <= TOLERANCE, source
        else:
            assert not outputs[name].any(), source
    if ledger:
        table = outputs[explained.interface.ledger].astype(np.float64)
        size = np.abs(table).sum(1).max()
        np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-9 * size)
        given_back = outputs[explained.interface.relevance["x"]].sum() + table[:, 2:].sum()
        assert abs(oracle.values[net.outputs[0]].max(1).sum() - given_back) <= 1e-9 * size
