"""What the plan calls the parts of a transformer, however they are written; and routers as gates."""

from __future__ import annotations

import pytest

from onnxlrp.analysis.gates import gate_kind
from onnxlrp.analysis.labels import label_of
from tests.analysis.graphs import Graph

WEIGHTS = """float[4,4] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}, float scale = {0.5}, float low = {-1e9},
    float[1,3,4] cos = {1,2,3,4,5,6,7,8,9,10,11,12}, float[1,3,4] sin = {12,11,10,9,8,7,6,5,4,3,2,1},
    float[1,3,2] c = {1,2,3,4,5,6}, float[1,3,2] s = {6,5,4,3,2,1}, float[3,3] mask = {0,-9,-9,0,0,-9,0,0,0},
    int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4}, int64[1] last = {2},
    int64[1] beyond = {3}, int64[3] flat = {0,0,-1}"""


def graph(body: str) -> Graph:
    return Graph(f"g (float[N,3,4] x, bool[3,3] hidden) => (float[N,3,4] y) <{WEIGHTS}> {{ {body} }}")


QKV = "q = MatMul(x, w) k = MatMul(x, w) v = MatMul(x, w) t = Transpose<perm=[0,2,1]>(k)"
SCORES = {
    "plain": "a = MatMul(q, t) p = Softmax(a)",
    "scaled behind": "a = MatMul(q, t) b = Mul(a, scale) p = Softmax(b)",
    "divided": "a = MatMul(q, t) b = Div(a, scale) p = Softmax(b)",
    "scaled in front": "i = Mul(q, scale) j = Mul(t, scale) a = MatMul(i, j) p = Softmax(a)",
    "masked by a sum": "a = MatMul(q, t) b = Mul(a, scale) d = Add(b, mask) p = Softmax(d)",
    "masked by a choice": "a = MatMul(q, t) d = Where(hidden, low, a) p = Softmax(d)",
}


@pytest.mark.parametrize("scores", SCORES.values(), ids=SCORES)
def test_attention(scores):
    found = graph(f"{QKV} {scores} y = MatMul(p, v)")
    assert label_of(found.node("a"), found.facts) == "attention: queries by keys"
    assert label_of(found.node("p"), found.facts) == "attention weights"
    assert label_of(found.node("y"), found.facts) == "attention: weights by values"
    assert label_of(found.node("q"), found.facts) is None


HALVES = "a = Slice(q, zero, two, last) b = Slice(q, two, four, last)"
ROTARY = {
    "halves": f"{HALVES} n = Neg(b) r = Concat<axis=-1>(n, a) e = Mul(q, cos) f = Mul(r, sin) y = Add(e, f)",
    "halves by Split": "a, b = Split<axis=-1, num_outputs=2>(q) n = Neg(b) r = Concat<axis=-1>(n, a) e = Mul(cos, q) "
    "f = Mul(sin, r) y = Add(f, e)",
    "interleaved": "a = Slice(q, zero, four, last, two) b = Slice(q, one, four, last, two) n = Neg(b) "
    "m = Unsqueeze(n, beyond) o = Unsqueeze(a, beyond) p = Concat<axis=-1>(m, o) r = Reshape(p, flat) e = Mul(q, cos) "
    "f = Mul(r, sin) y = Add(e, f)",
}


@pytest.mark.parametrize("body", ROTARY.values(), ids=ROTARY)
def test_rotary_embeddings(body):
    found = graph(f"q = MatMul(x, w) {body}")
    assert label_of(found.node("y"), found.facts) == "rotary embedding"


def test_rotary_embeddings_of_parts():
    """As onnxruntime's own function body has them: both parts turned, then put together."""
    found = graph(
        f"q = MatMul(x, w) {HALVES} e = Mul(a, c) f = Mul(b, s) d = Sub(e, f) g = Mul(a, s) h = Mul(b, c) "
        "i = Add(g, h) y = Concat<axis=-1>(d, i)"
    )
    assert label_of(found.node("d"), found.facts) == "rotary embedding"


@pytest.mark.parametrize(
    "body",
    [
        "e = Mul(q, cos) f = Mul(q, sin) y = Sub(e, f)",
        "e = Mul(q, cos) y = Add(q, e)",
        "e = Mul(q, cos) f = Mul(x, sin) y = Add(e, f)",
        "y = Add(q, cos)",
    ],
)
def test_no_rotary_embedding(body):
    found = graph(f"q = MatMul(x, w) {body}")
    assert label_of(found.node("y"), found.facts) is None


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        ("u = Sigmoid(g) a = Mul(g, u)", "SwiGLU"),
        ("a = Gelu(g)", "GEGLU"),
        ("a = Relu(g)", "ReGLU"),
        ("a = Sigmoid(g)", "gated linear unit"),
        ("a = Tanh(g)", None),
    ],
)
def test_gated_units(activation, name):
    found = graph(f"g = MatMul(x, w) o = MatMul(x, w) {activation} y = Mul(a, o)")
    assert label_of(found.node("y"), found.facts) == name


@pytest.mark.parametrize("product", ["fc", "ig", "y"])
def test_the_gates_of_a_cell_are_no_gated_unit(product):
    """c′ = f·c + i·tanh(g), h = o·tanh(c′)."""
    found = graph(
        "g = MatMul(x, w) c0 = MatMul(g, w) i = Sigmoid(g) f = Sigmoid(c0) n = Tanh(g) fc = Mul(f, c0) ig = Mul(i, n)"
        " c1 = Add(fc, ig) t = Tanh(c1) y = Mul(t, i)"
    )
    assert label_of(found.node(product), found.facts) is None


EXPERTS = {
    "softmax, then the largest": "l = MatMul(x, w) p = Softmax(l) r, i = TopK(p, one)",
    "the largest, then softmax": "l = MatMul(x, w) t, i = TopK(l, one) r = Softmax(t)",
    "normalised again": "l = MatMul(x, w) p = Softmax(l) t, i = TopK(p, two) n = ReduceSum(t, last) u = Div(t, n) "
    "r = Slice(u, zero, one, last)",
    "sigmoid": "l = MatMul(x, w) p = Sigmoid(l) r, i = TopK(p, one)",
}


@pytest.mark.parametrize("body", EXPERTS.values(), ids=EXPERTS)
def test_the_weight_of_an_expert_is_a_gate(body):
    found = graph(f"{body} o = MatMul(x, w) y = Mul(o, r)")
    assert gate_kind(found["r"], found.facts) == "gate"
    assert gate_kind(found["o"], found.facts) is None
    if "TopK(l" not in body:
        assert label_of(found.node("y"), found.facts) == "expert routing"
