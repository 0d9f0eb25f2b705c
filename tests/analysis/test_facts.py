"""What is known of every value: sign, what carries relevance, which values lie before and behind layers."""

from __future__ import annotations

import onnx.parser
import pytest

from onnxlrp.analysis.reach import values_leading_to_input
from onnxlrp.source.constants import constants
from onnxlrp.source.read import read
from tests.analysis.graphs import Graph

# ---------------------------------------------------------------------------------------------------- sign


def sign(expression: str, inputs: str = "float[N,3] x", constants: str = "") -> bool:
    """Whether y is known never to be negative."""
    graph = Graph(f"g ({inputs}) => (float[N,3] y) {constants} {{ {expression} }}")
    return graph["y"] in graph.facts.nonnegative


@pytest.mark.parametrize(
    "expression",
    [
        "y = Relu(x)",
        "y = Sigmoid(x)",
        "y = Softmax(x)",
        "y = Exp(x)",
        "y = Abs(x)",
        "y = Mul(x, x)",
        "a = Relu(x) b = Abs(x) y = Add(a, b)",
        "a = Relu(x) b = Sigmoid(x) y = Mul(a, b)",
        "a = Relu(x) y = Add(a, half)",
        "a = Relu(x) b = Transpose(a) c = Transpose(b) y = LeakyRelu(c)",
        "a = Relu(x) b = Concat<axis=1>(a, a) y = Slice(b, zero, three, one)",
        "y = Clip(x, half)",
        "a = Relu(x) y = Clip(a, , half)",
        "a = Softplus(x) y = Div(a, half)",
    ],
)
def test_never_negative(expression):
    constants = "<float half = {0.5}, int64[1] zero = {0}, int64[1] three = {3}, int64[1] one = {1}>"
    assert sign(expression, constants=constants)


@pytest.mark.parametrize(
    "expression",
    [
        "y = Neg(x)",
        "a = Relu(x) y = Sub(a, half)",
        "a = Relu(x) y = Neg(a)",
        "a = Relu(x) y = Add(a, minus)",
        "a = Relu(x) y = Mul(a, x)",
        "y = Tanh(x)",
        "y = HardSwish(x)",
        "a = Relu(x) y = Clip(a, , minus)",
        "a = Relu(x) y = Log(a)",
        "y = LeakyRelu(x)",
    ],
)
def test_sign_unknown(expression):
    assert not sign(expression, constants="<float half = {0.5}, float minus = {-0.5}>")


def test_unsigned_inputs_are_never_negative():
    assert sign("y = Cast<to=1>(x)", "uint8[N,3] x")
    assert not sign("y = Cast<to=1>(x)", "int8[N,3] x")


# ---------------------------------------------------------------------------------------------------- reach


def test_uint8_pictures_are_data():
    graph = Graph(
        """g (uint8[N,3,4,4] x) => (float[N,2,4,4] y) <float scale = {0.5}, float[2,3,1,1] w = {1,2,3,4,5,6}> {
            a = Cast<to=1>(x)  b = Mul(a, scale)  y = Conv(b, w) }"""
    )
    assert graph.names(graph.facts.data) == {"x", "a", "b", "y"}


def test_integer_features_into_a_product_are_data():
    """int64 columns of a table that become floats in front of a dense layer."""
    graph = Graph(
        """g (int64[N,3] x) => (float[N,2] y) <float[3,2] w = {1,2,3,4,5,6}> {
            a = Cast<to=1>(x)  y = MatMul(a, w) }"""
    )
    assert {"x", "a", "y"} <= graph.names(graph.facts.data)
    assert graph.node("y") in graph.facts.layers


MASKED = """g (int64[N,4] ids, int64[N,4] mask) => (float[N,4,3] y)
    <float[7,3] table = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21}, float one = {1}, float low = {-1e4},
     int64[1] last = {2}, float[3,3] w = {1,2,3,4,5,6,7,8,9}> {
    e = Gather(table, ids)
    h = MatMul(e, w)
    m = Cast<to=1>(mask)
    open = Sub(one, m)
    bias = Mul(open, low)
    wide = Unsqueeze(bias, last)
    y = Add(h, wide) }"""


def test_masks_made_of_integers_are_constant():
    """1 for a token, 0 for padding: scaled and added to scores, it carries no relevance."""
    graph = Graph(MASKED)
    data = graph.names(graph.facts.data)
    assert {"ids", "e", "h", "y"} <= data
    assert not {"m", "open", "bias", "wide"} & data


def test_embedding_ids_are_data():
    """Looked up in a constant table; positions that are computed look up a constant."""
    graph = Graph(
        """g (int64[N,4] ids) => (float[N,4,2] y)
        <float[5,2] table = {1,2,3,4,5,6,7,8,9,10}, int64 z = {0}, int64 o = {1}> {
            e = Gather(table, ids)
            shape = Shape<start=1, end=2>(ids)
            length = Squeeze(shape)
            positions = Range(z, length, o)
            p = Gather(table, positions)
            y = Add(e, p) }"""
    )
    data = graph.names(graph.facts.data)
    assert {"ids", "e", "y"} <= data
    assert not {"shape", "positions", "p"} & data


@pytest.mark.parametrize("move", ["Squeeze(ids, two)", "Identity(ids)", "Cast<to=6>(ids)"])
def test_ids_through_shape_operators(move):
    graph = Graph(
        f"""g (int64[N,4,1] ids) => (float[N,d,e,f] y)
        <float[5,2] table = {{1,2,3,4,5,6,7,8,9,10}}, int64[1] two = {{2}}> {{
            i = {move}  y = Gather(table, i) }}"""
    )
    assert graph["y"] in graph.facts.data


def test_what_is_rounded_is_constant():
    graph = Graph(
        """g (float[N,3] x) => (float[N,3] y) { i = Cast<to=7>(x)  f = Cast<to=1>(i)  r = ArgMax<axis=1>(x)
            g = Cast<to=1>(r)  s = Add(f, g)  y = Add(x, s) }"""
    )
    assert graph.names(graph.facts.data) == {"x", "y"}


def test_only_what_leads_to_an_explained_input_is_alive():
    graph = Graph("""g (float[N,3] x, float[N,3] z) => (float[N,3] y) { a = Relu(x)  b = Relu(z)  y = Add(a, b) }""")
    alive = values_leading_to_input(graph.graph, graph.facts.operands, graph.facts.data, [graph["x"]])
    assert graph.names(alive) == {"x", "a", "y"}


def test_constants_are_what_depends_on_no_input():
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[N,3] x) => (float[N,3] y) <float[3] c = {1,2,3}> {
            s = Shape(x)  t = Exp(c)  u = RandomNormal<shape=[3]>()  a = Mul(t, u)  y = Add(x, a) }"""
    )
    found = {v.name for v in constants(read(proto).model.graph)}
    assert {"c", "t"} <= found
    assert not {"x", "s", "u", "a", "y"} & found


# ---------------------------------------------------------------------------------------------------- before and behind


def test_before_and_behind_the_first_layer():
    graph = Graph(
        """g (float[N,3] x) => (float[N,3] y) <float[3,3] w = {1,2,3,4,5,6,7,8,9}, float half = {0.5}> {
            a = Mul(x, half)  b = MatMul(a, w)  c = Relu(b)  d = MatMul(c, w)  y = Add(d, x) }"""
    )
    assert graph.names(graph.facts.input_side) == {"x", "a"}
    assert graph.names(graph.facts.downstream_of_layer) == {"b", "c", "d", "y"}


def test_attention_is_a_product_with_a_softmax():
    text = """g (float[N,4,4] x) => (float[N,4,4] y) {{ t = Transpose<perm=[0,2,1]>(x)  s = MatMul(x, t)
        p = {gate}(s)  q = Transpose<perm=[0,2,1]>(p)  y = MatMul(q, x) }}"""
    assert Graph(text.format(gate="Softmax")).facts.attention
    assert not Graph(text.format(gate="Relu")).facts.attention
