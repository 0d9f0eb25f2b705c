"""Activations in all their spellings: one step with a name, and one kind of gate."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from onnxlrp.analysis.activations import Activation, activation_of
from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.gates import gate_kind
from tests.analysis.graphs import Graph
from tests.operators.case import reference

CONSTANTS = """<float half = {0.5}, float one = {1}, float two = {2}, float three = {3}, float six = {6},
    float zero = {0}, float minus = {-1},
    float root = {1.4142135}, float over = {0.70710678}, float cubic = {0.044715}, float k = {0.7978846},
    float quick = {1.702}, float[3,3] w = {1,2,3,4,5,6,7,8,9}>"""


def products(cumulative: str) -> dict[str, str]:
    """½ · h · c in every order and grouping, c made by `cumulative`."""
    found = {}
    for a, b, c in itertools.permutations(("half", "h", "c")):
        found[f"({a}·{b})·{c}"] = f"{cumulative} p = Mul({a}, {b}) s = Mul(p, {c})"
        found[f"{c}·({a}·{b})"] = f"{cumulative} p = Mul({a}, {b}) s = Mul({c}, p)"
    return found


ERF = "u = Div(h, root) v = Erf(u) c = Add(v, one)"
TANH = "q = Pow(h, three) r = Mul(q, cubic) t = Add(h, r) u = Mul(t, k) v = Tanh(u) c = Add(one, v)"
CUBE = "q = Mul(h, h) q3 = Mul(q, h) r = Mul(cubic, q3) t = Add(h, r) u = Mul(k, t) v = Tanh(u) c = Add(one, v)"
FACTORED = "q = Mul(h, h) r = Mul(q, cubic) t = Add(r, one) x1 = Mul(h, k) u = Mul(x1, t) v = Tanh(u) c = Add(one, v)"
SPELLINGS = {
    "GELU (erf)": {
        **products(ERF),
        "times": "u = Mul(h, over) v = Erf(u) c = Add(one, v) p = Mul(h, c) s = Mul(p, half)",
        "Φ itself": "u = Mul(h, over) v = Erf(u) d = Mul(v, half) c = Add(d, half) s = Mul(h, c)",
        "divided by 2": f"{ERF} p = Mul(h, c) s = Div(p, two)",
    },
    "GELU (tanh)": {
        **products(TANH),
        "a cube as products": f"{CUBE} p = Mul(h, c) s = Mul(p, half)",
        "factored": f"{FACTORED} p = Mul(h, half) s = Mul(p, c)",
    },
    "SiLU": {
        "a product": "c = Sigmoid(h) s = Mul(h, c)",
        "the other order": "c = Sigmoid(h) s = Mul(c, h)",
        "by exp": "n = Neg(h) e = Exp(n) d = Add(e, one) s = Div(h, d)",
        "by a reciprocal": "n = Neg(h) e = Exp(n) d = Add(one, e) c = Reciprocal(d) s = Mul(h, c)",
    },
    "QuickGELU": {"a product": "q = Mul(h, quick) c = Sigmoid(q) s = Mul(h, c)"},
    "Mish": {"a product": "p = Softplus(h) c = Tanh(p) s = Mul(h, c)"},
    "HardSwish": {
        "by Clip": "a = Add(h, three) b = Clip(a, zero, six) c = Mul(h, b) s = Div(c, six)",
        "by HardSigmoid": "c = HardSigmoid<alpha=0.1666667, beta=0.5>(h) s = Mul(h, c)",
    },
}
EVERY = [(name, how) for name, spelt in SPELLINGS.items() for how in spelt]
MOVED = {
    "": "g = Identity(s)",
    "reshaped": "back = Shape(s) g = Reshape(s, back)",
    "cast": "wide = Cast<to=11>(s) g = Cast<to=1>(wide)",
    "halved": "g = Mul(half, s)",
}


def graph(body: str) -> Graph:
    return Graph(f"g (float[N,3] x) => (float[N,3] y) {CONSTANTS} {{ h = MatMul(x, w) {body} y = MatMul(g, w) }}")


@pytest.mark.parametrize(("name", "how"), EVERY)
def test_its_name(name, how):
    found = graph(f"{SPELLINGS[name][how]} g = Identity(s)")
    regions = [(n, e) for n in found.graph if (e := region_entry(n, found.facts)) is not None]
    node, entrance = regions[-1]
    known = activation_of(node, entrance, found.facts)
    assert known is not None and known.name == name


@pytest.mark.parametrize(("factor", "same"), [("half", True), ("minus", False)])
def test_its_sign(factor, same):
    """Of a multiple, whether it has its operand's sign: of a negative one it has not."""
    found = graph(f"c = Sigmoid(h) m = Mul(h, {factor}) g = Mul(m, c)")
    node = found.node("g")
    known = activation_of(node, region_entry(node, found.facts), found.facts)
    assert known is not None and (known.name, known.same_sign) == ("SiLU", same)


def test_a_sigmoid_is_positive_whatever_its_operand():
    assert not Activation("sigmoid", 1.0).same_sign


@pytest.mark.parametrize("moved", MOVED.values(), ids=MOVED)
@pytest.mark.parametrize(("name", "how"), EVERY)
def test_it_is_a_soft_gate(name, how, moved):
    found = graph(f"{SPELLINGS[name][how]} {moved}")
    assert gate_kind(found.node("y").inputs[0], found.facts) == "soft"


@pytest.mark.parametrize("square", ["g = Mul(a, a)", "g = Pow(a, two)"])
def test_a_squared_relu_is_a_soft_gate(square):
    found = graph(f"a = Relu(h) {square}")
    assert gate_kind(found["a"].consumers()[0].outputs[0], found.facts) == "soft"


@pytest.mark.parametrize(
    "body",
    [
        "g = Mul(h, h)",
        "q = Mul(h, h) g = Mul(q, h)",
        "q = Pow(h, three) g = Mul(q, h)",
        "a = Abs(h) d = Add(a, one) g = Div(h, d)",
        "n = Neg(h) a = Exp(h) b = Exp(n) c = Sub(a, b) d = Add(a, b) g = Div(c, d)",
    ],
    ids=["square", "cube", "fourth power", "softsign", "tanh by exp"],
)
def test_no_gate(body):
    found = graph(body)
    assert gate_kind(found.node("y").inputs[0], found.facts) is None


@pytest.mark.parametrize("end", ["g = Div(one, d)", "g = Reciprocal(d)"])
def test_a_sigmoid_written_out_is_a_gate(end):
    found = graph(f"n = Neg(h) e = Exp(n) d = Add(e, one) {end}")
    assert gate_kind(found.node("y").inputs[0], found.facts) == "gate"


def model(body: str) -> onnx.ModelProto:
    """A product of an activation with another branch, in double precision."""
    constants = CONSTANTS.replace("float", "double")
    text = f"g (double[N,3] x) => (double[N,3] y) {constants} {{ h = MatMul(x, w) {body} o = Sub(x, h) y = Mul(s, o) }}"
    return parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')


FUSED = {"GELU (erf)": "s = Gelu(h)", "GELU (tanh)": 's = Gelu<approximate="tanh">(h)', "Mish": "s = Mish(h)"}


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "cp_lrp"])
@pytest.mark.parametrize(("name", "how"), [(n, h) for n, h in EVERY if n in FUSED])
def test_relevance_does_not_depend_on_the_spelling(name, how, composite):
    x = np.random.default_rng(3).normal(size=(4, 3))
    found = []
    for body in (SPELLINGS[name][how], FUSED[name]):
        explained = onnxlrp.convert(model(body), composite, target="weights").to_proto()
        found.append(reference(explained)({"x": x})["x_relevance"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4 if composite == "epsilon" else 1e-5, atol=1e-6)


GATES = {
    "half of 1 + tanh": "t = Tanh(h) a = Add(one, t) g = Mul(half, a)",
    "exp over exp + 1": "e = Exp(h) d = Add(e, one) g = Div(e, d)",
    "cut by Min and Max": "i = Div(h, six) a = Add(i, half) b = Max(a, zero) g = Min(b, one)",
    "its root": "s = Sigmoid(h) g = Sqrt(s)",
    "exp of a logarithm": "n = Neg(h) p = Softplus(n) m = Neg(p) g = Exp(m)",
    "bounded": "s = Sigmoid(h) g = Clip(s, half, one)",
    "two put together": "i = Sigmoid(h) j = Sigmoid(x) k2 = Concat<axis=1>(i, j) g = Slice(k2, from, to, axis)",
    "two added up": "i = Sigmoid(h) j = Sigmoid(x) g = Add(i, j)",
    "two multiplied": "i = Sigmoid(h) j = Softmax(x) g = Mul(i, j)",
    "averaged": "s = Sigmoid(h) m = ReduceMean<keepdims=1>(s, axis) g = Expand(m, wide)",
}
NO_GATES = {
    "a rectifier that is cut": "g = Clip(h, zero, six)",
    "tanh": "g = Tanh(h)",
    "a gate and a signal": "s = Sigmoid(h) g = Add(s, x)",
    "a layer upstream of it": "s = Sigmoid(h) g = MatMul(s, w)",
    "what a gate lets through": "s = Sigmoid(h) g = Mul(s, x)",
    "a softplus": "g = Softplus(h)",
    "a bell": "q = Mul(h, h) n = Neg(q) g = Exp(n)",
}


def gates(body: str) -> str | None:
    numbers = "int64[1] from = {0}, int64[1] to = {3}, int64[1] axis = {1}, int64[2] wide = {1, 3}"
    constants = f"{CONSTANTS[:-1]}, {numbers}>"
    text = f"g (float[N,3] x) => (float[N,3] y) {constants} {{ h = MatMul(x, w) {body} y = MatMul(g, w) }}"
    found = Graph(text)
    return gate_kind(found.node("y").inputs[0], found.facts)


@pytest.mark.parametrize("body", GATES.values(), ids=GATES)
def test_a_gate_in_another_spelling(body):
    assert gates(body) == "gate"


@pytest.mark.parametrize("body", NO_GATES.values(), ids=NO_GATES)
def test_what_is_like_a_gate_and_is_none(body):
    assert gates(body) is None
