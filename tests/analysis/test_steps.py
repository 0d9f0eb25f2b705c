"""Which nodes are one step: layers with their bias, regions that are one activation; and what is a gate."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.analysis.elementwise_functions import function_of
from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.gates import gate_kind
from onnxlrp.analysis.layers import Layer
from onnxlrp.analysis.reach import relevance_operands
from tests.analysis.graphs import Graph

# ---------------------------------------------------------------------------------------------------- layers

DENSE = """g (float[N,5,3] x) => (float[N,5,2] y)
    <float[3,2] w = {{1,2,3,4,5,6}}, float[2] b = {{1,2}}, float one = {{1}}, float[1,1,2] row = {{1,2}},
     float[5,2] table = {{1,2,3,4,5,6,7,8,9,10}}> {{ h = MatMul(x, w) {then} }}"""


def layer(graph: Graph, name: str) -> Layer:
    return graph.facts.layers[graph.node(name)]


@pytest.mark.parametrize("then", ["y = Add(h, b)", "y = Add(b, h)", "y = Add(h, one)", "y = Add(h, row)"])
def test_the_add_behind_a_product_is_its_bias(then):
    graph = Graph(DENSE.format(then=then))
    found = layer(graph, "h")
    assert found.z is graph["y"]
    assert found.bias is not None
    assert (found.kind, found.data, found.weight) == ("dense", 0, 1)


@pytest.mark.parametrize(
    "then",
    [
        "y = Add(h, table)",
        "a = Relu(h) y = Add(a, b)",
        "a = Add(h, b) y = Mul(a, h)",
        "y = Sub(b, h)",
        "a = ReduceMean<keepdims=1>(x) y = Add(h, a)",
    ],
    ids=["position table", "behind an activation", "read twice", "constant − value", "data"],
)
def test_what_is_no_bias(then):
    graph = Graph(DENSE.format(then=then))
    assert layer(graph, "h").bias is None
    assert layer(graph, "h").z is graph["h"]


def test_the_bias_of_a_product_from_the_left():
    """Its features are on the axis before the last."""
    text = """g (float[N,3,5] x) => (float[N,2,5] y)
        <float[2,3] w = {{1,2,3,4,5,6}}, float[2,1] column = {{1,2}}, float[5] row = {{1,2,3,4,5}}> {{
        h = MatMul(w, x) y = Add(h, {bias}) }}"""
    assert layer(Graph(text.format(bias="column")), "h").bias is not None
    assert layer(Graph(text.format(bias="row")), "h").bias is None
    assert layer(Graph(text.format(bias="row")), "h").data == 1


def test_products_of_data_are_no_layers():
    graph = Graph("g (float[N,3,3] x) => (float[N,3,3] y) { y = MatMul(x, x) }")
    assert not graph.facts.layers


@pytest.mark.parametrize(
    ("shape", "weight", "options", "spatial", "channels", "overlaps"),
    [
        ("N,3,8,8", (2, 3, 3, 3), "", 2, 3, True),
        ("N,4,8,8", (2, 4, 3, 3), "", 2, 4, True),
        ("N,3,8,8", (2, 3, 2, 2), "strides=[2,2]", 2, 3, False),  # a patch embedding
        ("N,3,8,8", (2, 3, 1, 1), "", 2, 3, False),
        ("N,1,8,8", (2, 1, 3, 1), "", 2, 1, False),  # along one of two axes
        ("N,4,8,8", (4, 1, 3, 3), "group=4", 2, 4, True),
        ("N,C,8,8", (6, 2, 3, 3), "group=3", 2, 6, True),  # the weight knows the channels
        ("N,1,8,8,8", (2, 1, 3, 3, 3), "", 3, 1, True),
        ("N,1,8", (2, 1, 3), "", 1, 1, True),
        ("N,3,1,8", (2, 3, 1, 3), "", 1, 3, False),  # a series, written as a picture
        ("N,3,1,1", (2, 3, 1, 1), "", 0, 3, False),  # a dense layer, written as a convolution
    ],
)
def test_where_a_convolution_runs(shape, weight, options, spatial, channels, overlaps):
    numbers = ",".join(["1"] * int(np.prod(weight)))
    out = ",".join(f"o{i}" for i in range(len(weight)))
    graph = Graph(
        f"""g (float[{shape}] x) => (float[{out}] y) <float[{",".join(map(str, weight))}] k = {{{numbers}}}> {{
            y = Conv{f"<{options}>" if options else ""}(x, k) }}"""
    )
    found = layer(graph, "y")
    assert (found.spatial, found.channels, found.overlaps) == (spatial, channels, overlaps)


def test_channels_of_a_transposed_convolution():
    """Its weight holds all input channels on its first axis, whatever its groups."""
    graph = Graph(
        f"""g (float[N,C,4,4] x) => (float[N,2,h,w] y) <float[4,1,2,2] k = {{{",".join(["1"] * 16)}}}> {{
            y = ConvTranspose<group=2>(x, k) }}"""
    )
    assert layer(graph, "y").channels == 4


# ---------------------------------------------------------------------------------------------------- regions

CONSTANTS = """<float half = {0.5}, float one = {1}, float two = {2}, float three = {3}, float six = {6},
    float zero = {0}, float root = {1.4142135}, float cubic = {0.044715}, float k = {0.7978846}>"""
REGIONS = {
    "HardSwish": "a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six)",
    "HardSwish by HardSigmoid": "a = HardSigmoid<alpha=0.1666667, beta=0.5>(x) y = Mul(x, a)",
    "GELU by erf": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half)",
    "GELU by erf, halved first": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, half) y = Mul(d, c)",
    "GELU by tanh": """a = Pow(x, three) b = Mul(a, cubic) c = Add(x, b) d = Mul(c, k) e = Tanh(d) f = Add(e, one)
        g = Mul(x, f) y = Mul(g, half)""",
    "SiLU": "a = Sigmoid(x) y = Mul(x, a)",
    "SiLU by exp": "a = Neg(x) b = Exp(a) c = Add(b, one) y = Div(x, c)",
    "Mish": "a = Softplus(x) b = Tanh(a) y = Mul(x, b)",
    "square": "y = Mul(x, x)",
}


def region(text: str) -> tuple[Graph, str | None]:
    """The last node that joins branches, and what it is a function of."""
    graph = Graph(f"g (float[N,3] x) => (float[N,3] y) {CONSTANTS} {{ {text} }}")
    entries = [region_entry(n, graph.facts) for n in graph.graph]
    found = [v for v in entries if v is not None]
    return graph, str(found[-1].name) if found else None


@pytest.mark.parametrize("name", REGIONS)
def test_one_activation(name):
    assert region(REGIONS[name])[1] == "x"


@pytest.mark.parametrize(
    "text",
    [
        "y = Add(x, x)",
        "a = Mul(x, two) y = Add(a, x)",
        "a = Neg(x) y = Sub(a, x)",
        "a = Softmax(x) y = Mul(a, x)",
        "a = ReduceMean<keepdims=1>(x) y = Mul(x, a)",
        "a = Sigmoid(x) y = Neg(a)",
    ],
    ids=["x + x", "2x + x", "−x − x", "softmax", "a mean", "a chain"],
)
def test_no_region(text):
    """Sums stay sums; what mixes elements is none; a chain needs none."""
    assert region(text)[1] is None


def test_a_region_behind_a_layer():
    """It begins where its branches part."""
    graph = Graph(
        """g (float[N,3] x) => (float[N,3] y) <float[3,3] w = {1,2,3,4,5,6,7,8,9}> {
            h = MatMul(x, w)  a = Sigmoid(h)  y = Mul(h, a) }"""
    )
    assert region_entry(graph.node("y"), graph.facts) is graph["h"]


def test_a_function_begins_where_it_is_known_at_zero():
    """1 / (1 + exp(−x)) is one function from x, log(x + ε) one from x; a sum downstream of a ReLU is a shift."""
    text = "g (float[N,3] x) => (float[N,3] y) <float one = {{1}}, float[3,3] w = {{1,2,3,4,5,6,7,8,9}}> {{ {body} }}"
    for body, argument, value in (
        ("a = Neg(x) b = Exp(a) c = Add(b, one) y = Reciprocal(c)", "a", 0.5),
        ("b = Exp(x) c = Add(b, one) y = Div(one, c)", "x", 0.5),
        ("b = Exp(x) c = Add(one, b) y = Log(c)", "x", np.log(2)),
        ("c = Add(x, one) y = Log(c)", "x", 0.0),
        ("c = Max(x, one) y = Reciprocal(c)", "x", 1.0),
    ):
        graph = Graph(text.format(body=body))
        node = graph.node("y")
        found = function_of(node, relevance_operands(node, graph.facts.data), graph.facts)
        assert found.argument is graph[argument], body
        assert found.at_zero is not None
        np.testing.assert_allclose(found.at_zero.reshape(()), value, atol=1e-12)
    for body in ("b = Relu(x) c = Add(b, one) y = Exp(c)", "b = Tanh(x) c = Add(b, one) y = Sigmoid(c)"):
        graph = Graph(text.format(body=body))
        node = graph.node("y")
        assert function_of(node, relevance_operands(node, graph.facts.data), graph.facts).argument is graph["c"]


# ---------------------------------------------------------------------------------------------------- gates

SQUEEZE = """g (float[N,2,4,4] x) => (float[N,2,4,4] y)
    <float[2,2,1,1] w = {{1,2,3,4}}, float zero = {{0}}, float one = {{1}}, float three = {{3}}, float six = {{6}}> {{
    p = GlobalAveragePool(x)  h = Conv(p, w)  {gate}  y = Mul(x, s) }}"""
GATES = {
    "Sigmoid": "s = Sigmoid(h)",
    "HardSigmoid": "s = HardSigmoid(h)",
    "hard sigmoid written out": "a = Add(h, three) b = Clip(a, zero, six) s = Div(b, six)",
    "clipped to one": "s = Clip(h, zero, one)",
    "one minus": "a = Sigmoid(h) s = Sub(one, a)",
    "affine": "a = Sigmoid(h) b = Mul(a, three) s = Add(b, one)",
    "softmax, turned": "a = Softmax<axis=1>(h) s = Transpose<perm=[0,1,3,2]>(a)",
}


@pytest.mark.parametrize("name", GATES)
def test_squeeze_and_excite(name):
    """The gate is one, the picture is none."""
    graph = Graph(SQUEEZE.format(gate=GATES[name]))
    assert gate_kind(graph["s"], graph.facts) == "gate"
    assert gate_kind(graph["x"], graph.facts) is None


@pytest.mark.parametrize("op", ["Relu", "Gelu", "HardSwish", "Mish"])
def test_soft_gates(op):
    graph = Graph(SQUEEZE.format(gate=f"s = {op}(h)"))
    assert gate_kind(graph["s"], graph.facts) == "soft"


def test_a_silu_written_out_is_a_soft_gate():
    graph = Graph(SQUEEZE.format(gate="a = Sigmoid(h) s = Mul(h, a)"))
    assert gate_kind(graph["s"], graph.facts) == "soft"


@pytest.mark.parametrize(
    "gate", ["s = Conv(h, w)", "a = Sigmoid(h) s = Conv(a, w)", "s = Tanh(h)", "s = Clip(h, zero, six)"]
)
def test_no_gate(gate):
    """A layer's own output, also behind a sigmoid; ReLU6 is none either."""
    graph = Graph(SQUEEZE.format(gate=gate))
    assert gate_kind(graph["s"], graph.facts) is None
