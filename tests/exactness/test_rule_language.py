"""The rule language means what it says: rules with any modifiers against the dense-matrix oracle."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx.parser
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from onnxlrp.composites import Composite, DeepTaylor, EpsilonGammaBox, VggOverview
from onnxlrp.errors import InputError
from onnxlrp.rules import (
    SAME,
    Above,
    AlphaBeta,
    Below,
    Epsilon,
    Flat,
    Gamma,
    Modifier,
    Rule,
    Share,
    Term,
    WSquare,
    ZBox,
    ZPlus,
)
from tests.oracle.compare import Explained, error
from tests.oracle.composites import composite
from tests.oracle.engine import LAYERS, Oracle
from tests.oracle.net import Net
from tests.oracle.rules import Layer
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
    "columns": lambda net, h, bias: net.matmul(h, 4, bias=bias),
    "rows": lambda net, h, bias: net.matmul(h, 4, bias=bias, left=True),
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
    net = Net(draw(st.integers(0, 9)), x=(2, 4, 8))
    h = draw(st.sampled_from(["x", "x", "average"]))
    h = h if h == "x" else net.average_pool("x", 2)
    for kind in draw(st.lists(st.sampled_from(list(LAYER_KINDS)), max_size=2)):
        h = LAYER_KINDS[kind](net, h, draw(st.booleans()))
        h = STEPS_BETWEEN[draw(st.sampled_from(list(STEPS_BETWEEN)))](net, h)
    h = net.flatten(h)
    if draw(st.booleans()):
        h = STEPS_BETWEEN[draw(st.sampled_from(["nothing", "relu", "tanh"]))](net, net.gemm(h, 6))
    return net.output(net.gemm(h, 4, bias=draw(st.booleans()), transposed=draw(st.booleans())))


@settings(
    deadline=None,
    derandomize=True,
    max_examples=150,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
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


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ii,ij->ij", "ij,jk->ki"])
def test_an_einsum_whose_rows_meet(equation):
    """Evenly over the inputs, also where the first axis is a diagonal's or not the output's first."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    ones = Written(Share((Term(Modifier(one=1), Modifier(same=1, plus=1)),)), epsilon=0.05)
    graph = f'net (double[3, 3] x) => (double[3, 3] y) {{ y = Einsum<equation = "{equation}">(x, w) }}'
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {graph}')
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    found = Explained(model, composite="epsilon", rules=[("Einsum", ones.of_package())]).relevance({"x": x})["x"]
    y = np.einsum(equation, x, w)
    seed = np.where(y == y.max(1, keepdims=True), y, 0)
    basis = np.eye(9).reshape(9, 3, 3)
    A = np.stack([np.einsum(equation, unit, w).ravel() for unit in basis], axis=1)
    expected = ones(Layer(A, np.zeros(9)), x.ravel(), seed.ravel())
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Modifier(same=np.nan),
        lambda: Modifier(same=1e308, plus=1e308),
        lambda: Term(Modifier(same=1), Modifier(same=1), factor=np.inf),
        lambda: Term("above", Modifier(same=1)),
        lambda: Share(()),
        lambda: Share((Term(Modifier(same=1), Modifier(same=1)),), np.nan),
        lambda: Share((Term(Modifier(same=1), Modifier(same=1)),), gate=2),
        lambda: Share((Term(Above(0.0), Modifier(plus=1)),)),
        lambda: Share((Term(Above(0.0), Modifier(plus=1)), Term(Above(1.0), SAME), Term(Below(1.0), SAME))),
    ],
)
def test_what_has_no_meaning_is_refused_when_it_is_made(make):
    with pytest.raises(ValueError, match=r"^(Modifier|Term|Share)"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZBox(low=1.0, high=-1.0),
        lambda: ZBox(low=np.zeros(3), high=np.array([1.0, -1.0, 1.0])),
        lambda: ZBox(low=-np.inf, high=1.0),
        lambda: ZBox(low="dark", high=1.0),
        lambda: Gamma(np.nan),
        lambda: AlphaBeta(np.nan, np.nan),
        lambda: Epsilon(np.inf),
        lambda: EpsilonGammaBox(1.0, -1.0),
        lambda: VggOverview(1.0, -1.0),
        lambda: DeepTaylor(low=0.0),
    ],
)
def test_a_parameter_that_has_no_meaning_is_refused_when_it_is_given(make):
    with pytest.raises(InputError):
        make()


def test_bounds_of_the_input_are_refused_downstream_of_a_layer():
    net = Net(0, x=(5,))
    net.output(net.gemm(net.relu(net.gemm("x", 4)), 3))
    with pytest.raises(InputError, match="reads what another layer computes"):
        Explained(net.model(), composite="epsilon", rules=[("Gemm", ZBox())])


def test_bounds_through_a_difference_of_two_inputs():
    """The lowest difference is between the lowest of one and the highest of the other."""
    graph = "net (double[1, 2] a, double[1, 2] b) => (double[1, 1] y) <double[2, 1] w = {2, -1}> "
    text = f'<ir_version: 10, opset_import: ["": 21]> {graph} {{ x = Sub(a, b) y = MatMul(x, w) }}'
    feeds = {"a": np.array([[0.9, 0.2]]), "b": np.array([[0.1, 0.5]])}
    options = {"rules": [("MatMul", ZBox(0.0, 1.0))], "relevance_at": ("x",)}
    found = Explained(onnx.parser.parse_model(text), composite="epsilon", **options).relevance(feeds)["x"]
    parts = np.array([(0.8 + 1) * 2, (-0.3 - 1) * -1])
    np.testing.assert_allclose(found[0], parts * 1.9 / (parts.sum() + 1e-6), atol=1e-12)


class Norms(Composite):
    """A composite whose sums ask for weights."""

    @property
    def norm(self) -> Rule:
        return ZPlus()


def test_a_step_without_weights_refuses_a_rule_that_needs_them():
    net = Net(0, x=(5,))
    net.output(net.sum(net.gemm("x", 4), net.gemm("x", 4)))
    with pytest.raises(InputError, match="has no weights"):
        Explained(net.model(), composite=Norms())
