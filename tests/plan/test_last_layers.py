"""Last layers: those that the score reads without another layer in between."""

from __future__ import annotations

import numpy as np

import onnxlrp
from tests.plan.models import model

LAST = "auto: last layer before the score"


def last(text: str, weights: dict, **options) -> list[str]:
    plan = onnxlrp.inspect(model(text, weights), **options)
    return sorted(r.node for r in plan.rows() if r.why == LAST)


def test_through_routing_pools_and_activations():
    text = """g (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv(x, w0) b = Relu(a) [last] c = Conv(b, w1) d = Relu(c) p = GlobalAveragePool(d) y = Flatten(p) }"""
    assert last(text, {"w0": (4, 3, 3, 3), "w1": (4, 4, 3, 3)}) == ["last"]


def test_two_branches_and_a_bias_of_its_own():
    """Both layers whose sum is the score; a bias Add belongs to its layer."""
    text = """g (float[N,3,8,8] x) => (float[N,2] y) <float[2] bias = {1, 2}> {
        a = Conv(x, w0) b = Relu(a) p = GlobalAveragePool(b) f = Flatten(p)
        [deep] m = MatMul(f, v) n = Add(m, bias) g = Flatten(x) [wide] o = MatMul(g, u) y = Add(n, o) }"""
    plan = onnxlrp.inspect(model(text, {"w0": (4, 3, 3, 3), "v": (4, 2), "u": (192, 2)}))
    assert sorted(r.node for r in plan.rows() if r.why == LAST) == ["deep", "wide"]


def test_a_recurrent_operator_is_a_layer():
    text = """g (float[5,N,3] x) => (float[1,N,4] y) { h = MatMul(x, w) a, y = RNN<hidden_size=4>(h, i, r) }"""
    assert last(text, {"w": (3, 3), "i": (1, 4, 3), "r": (1, 4, 4)}) == []


WEIGHTS = {"w0": (4, 1, 3, 3), "w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)}
BRANCHES = """g (float[N,1,8,8] x, bool c) => (float[N,4] y) {
    [up] a = Conv(x, w0) b = Relu(a)
    s = If (c) <
        then_branch = t () => (float[N,4,4,4] u) { [in] u = Conv(b, w1) },
        else_branch = e () => (float[N,4,4,4] v) { v = Conv(b, w2) }
    >
    p = GlobalAveragePool(s) y = Flatten(p) }"""
STRAIGHT = """g (float[N,1,8,8] x) => (float[N,4] y) {
    a = Conv(x, w0) b = Relu(a) s = Conv(b, w1) p = GlobalAveragePool(s) y = Flatten(p) }"""


def test_inside_of_branches():
    """The layer in a branch is the last one, the layer upstream of it is not."""
    rules = {r.node: r.rule for r in onnxlrp.inspect(model(BRANCHES, WEIGHTS)).rows()}
    assert rules["up"] == "Gamma(stabiliser='clamp', gamma=0.1)" and rules["in"].startswith("Epsilon")


def test_inside_of_the_copy_that_is_walked_back():
    x = np.random.default_rng(1).normal(size=(2, 1, 8, 8)).astype(np.float32)
    feeds = {BRANCHES: {"x": x, "c": np.array(True)}, STRAIGHT: {"x": x}}
    branch, straight = (
        onnxlrp.Explainer(onnxlrp.convert(model(text, WEIGHTS)))(given).relevance["x"] for text, given in feeds.items()
    )
    np.testing.assert_allclose(branch, straight, rtol=1e-4, atol=1e-6)
