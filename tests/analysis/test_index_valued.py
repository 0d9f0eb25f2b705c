"""Integers that say where: masks, positions and what is computed from them are constant; features are not."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.analysis.graphs import Graph

WEIGHTS = """float[7,3] table = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21},
    float[2,3] other = {1,2,3,4,5,6}, float one = {1},
    float low = {-1e4},
    float[3,3] w = {1,2,3,4,5,6,7,8,9}, float[1,3] frequencies = {1,0.1,0.01}, int64[1] last = {-1},
    int64[1] middle = {1},
    int64 whole = {1}, int64 two = {2}, float[4,1] slopes = {0.5,0.25,0.125,0.0625}, float least = {1e-9},
    int64 axis = {1}"""
EMBEDDED = "e = Gather(table, ids) h = MatMul(e, w)"


def data(body: str, inputs: str = "int64[N,4] ids, int64[N,4] more", output: str = "float[N,4,3] y") -> set[str]:
    """What of a graph is data, by name."""
    graph = Graph(f"g ({inputs}) => ({output}) <{WEIGHTS}> {{ {body} }}")
    return graph.names(graph.facts.data)


MASK = "m = Cast<to=1>(more) open = Sub(one, m) bias = Mul(open, low)"
MASKS = {
    "in front of all else": f"{MASK} wide = Unsqueeze(bias, last) {EMBEDDED} s = Add(h, wide) y = Softmax(s)",
    "behind it": f"{EMBEDDED} {MASK} wide = Unsqueeze(bias, last) s = Add(h, wide) y = Softmax(s)",
    "filled in": f"m = Cast<to=1>(more) open = Sub(one, m) off = Cast<to=9>(open) filled = Where(off, low, open) "
    f"wide = Unsqueeze(filled, last) {EMBEDDED} s = Add(h, wide) y = Softmax(s)",
    "chosen by": f"long = Unsqueeze(more, last) off = Cast<to=9>(long) {EMBEDDED} s = Where(off, h, low) y = "
    f"Softmax(s)",
    "averaged over": f"m = Cast<to=1>(more) wide = Unsqueeze(m, last) {EMBEDDED} kept = Mul(h, wide) "
    "n = ReduceSum(wide, middle) total = ReduceSum(kept, middle) c = Clip(n, least) mean = Div(total, c) y = "
    "Add(mean, h)",
}
POSITIONS = {
    "counted from a mask": f"k = CumSum(more, axis) p = Mul(k, more) q = Add(p, whole) t = Gather(table, q) "
    f"{EMBEDDED} y = Add(h, t)",
    "counted from ids": f"is = Equal(ids, whole) not = Not(is) n = Cast<to=7>(not) k = CumSum(n, axis) p = Mul(k, n) "
    f"t = Gather(table, p) {EMBEDDED} y = Add(h, t)",
    "ALiBi": f"k = CumSum(more, axis) p = Mul(k, more) f = Cast<to=1>(p) u = Unsqueeze(f, last) {EMBEDDED} "
    "t = Mul(u, slopes) y = Add(h, t)",
    "waves": f"f = Cast<to=1>(more) u = Unsqueeze(f, last) a = MatMul(u, frequencies) c = Cos(a) s = Sin(a) t "
    f"= Add(c, s) "
    f"{EMBEDDED} y = Mul(h, t)",
    "rotation, looked up": f"{EMBEDDED} c = Gather(table, more) s = Gather(other, more) ec = Mul(h, c) es = Mul(e, s) "
    "y = Add(ec, es)",
    "waves, scaled": f"f = Cast<to=1>(more) u = Unsqueeze(f, last) a = Mul(u, frequencies) t = Sin(a) "
    f"{EMBEDDED} y = Mul(h, t)",
}


@pytest.mark.parametrize("body", {**MASKS, **POSITIONS}.values(), ids={**MASKS, **POSITIONS})
def test_masks_and_positions_are_constant(body):
    found = data(body)
    assert {"ids", "e", "h", "y"} <= found
    computed = {"m", "open", "bias", "wide", "filled", "n", "c", "k", "p", "q", "t", "f", "u", "a", "s"}
    computed -= {"s"} if "s = Sin" not in body and "s = Gather" not in body else set()
    assert not computed & found, computed & found


FEATURES = {
    "into a layer": "f = Cast<to=1>(more) u = Unsqueeze(f, last) z = MatMul(u, frequencies) y = Add(h, z)",
    "two of them": "f = Cast<to=1>(more) g = Cast<to=1>(ids) d = Add(f, g) u = Unsqueeze(d, last) z = "
    "MatMul(u, frequencies) "
    "y = Add(h, z)",
    "beside others": "f = Cast<to=1>(more) u = Unsqueeze(f, last) j = Concat<axis=-1>(h, u) k = Slice(j, "
    "whole1, three1, last) "
    "y = MatMul(k, w)",
    "a wave and a layer": "f = Cast<to=1>(more) u = Unsqueeze(f, last) z = MatMul(u, frequencies) t = Sin(z) "
    "p = Mul(h, t) "
    "y = Add(p, z)",
}


@pytest.mark.parametrize("name", FEATURES)
def test_features_are_data(name):
    extra = ", int64[1] whole1 = {1}, int64[1] three1 = {4}"
    body = f"{EMBEDDED} {FEATURES[name]}"
    graph = Graph(f"g (int64[N,4] ids, int64[N,4] more) => (float[N,4,3] y) <{WEIGHTS}{extra}> {{ {body} }}")
    assert {"f", "u", "y"} <= graph.names(graph.facts.data)


def test_where_nothing_else_is_data_waves_are():
    """A network of coordinates alone: they are what is explained."""
    body = "f = Cast<to=1>(more) u = Unsqueeze(f, last) a = MatMul(u, frequencies) s = Sin(a) y = MatMul(s, w)"
    assert {"f", "a", "s", "y"} <= data(body, "int64[N,4] more")


def test_ids_with_an_offset_are_ids():
    """Of several tables in one."""
    assert {"i", "e", "y"} <= data("i = Add(ids, whole) e = Gather(table, i) y = MatMul(e, w)", "int64[N,4] ids")


@pytest.mark.parametrize("name", [*MASKS, "counted from a mask", "waves"])
def test_relevance_arrives_at_the_ids_alone(name):
    from onnx import parser

    body = {**MASKS, **POSITIONS}[name]
    text = f"g (int64[N,4] ids, int64[N,4] more) => (float[N,4,3] y) <{WEIGHTS}> {{ {body} }}"
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    explained = onnxlrp.convert(proto, "attn_lrp", target="weights")
    assert list(explained.interface.relevance) == ["ids"]
    assert np.array(explained.interface.relevance["ids"]).size == 1


def test_a_looked_up_scale_with_its_shift_is_data():
    found = data(f"{EMBEDDED} g = Gather(table, more) b = Gather(other, more) scaled = Mul(h, g) y = Add(scaled, b)")
    assert {"more", "g", "b"} <= found


def test_truth_values_are_features_or_masks():
    feature = "f = Cast<to=1>(on) u = Unsqueeze(f, last) z = MatMul(u, frequencies) y = Add(h, z)"
    assert {"on", "f", "z"} <= data(f"{EMBEDDED} {feature}", "int64[N,4] ids, bool[N,4] on")
    mask = MASKS["in front of all else"].replace("more", "on")
    assert not {"m", "bias"} & data(mask, "int64[N,4] ids, bool[N,4] on")


def test_a_column_of_truth_values_has_relevance():
    from onnx import parser

    body = "f = Cast<to=1>(on) c = Concat<axis=1>(x, f) y = MatMul(c, w)"
    text = f"g (float[N,2] x, bool[N,1] on) => (float[N,3] y) <{WEIGHTS}> {{ {body} }}"
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    feeds = {"x": np.ones((2, 2), np.float32), "on": np.array([[True], [False]])}
    found = onnxlrp.Explainer(onnxlrp.convert(proto))(feeds, target=0)
    np.testing.assert_allclose(found.relevance["x"], [[1, 4], [1, 4]], rtol=1e-6)
    np.testing.assert_allclose(found.relevance["on"], [[7], [0]], rtol=1e-6)
