"""Sizes that are known beside an open batch are constants, and reshapes keep the open ones."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read
from tests.operators.case import reference

X = np.random.default_rng(5).normal(size=(2, 3, 8))
SIZES = "s = Shape(x) n = Gather(s, zero) t = Gather(s, one) d = Gather(s, two) "
HEAD = "w = Div(d, four) n1 = Unsqueeze(n, axis) t1 = Unsqueeze(t, axis) w1 = Unsqueeze(w, axis) "
RESHAPE = "to = Concat <axis = 0> (n1, t1, heads, w1) y = Reshape(x, to)"
NUMBERS = {"zero": 0, "one": 1, "two": -1, "four": 4, "axis": [0], "heads": [4], "first": [0], "last": [3], "pair": [2]}


def model(body: str, batch: str = "N", tokens: str = "3") -> onnx.ModelProto:
    head = f'<ir_version: 8, opset_import: ["" : 17]> g (double[{batch}, {tokens}, 8] x) => (double[a, b, c, d] y)'
    proto = onnx.parser.parse_model(f"{head} {{ {body} }}")
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    read_values = {name for node in proto.graph.node for name in node.input}
    values = {k: np.array(v) for k, v in NUMBERS.items() if k in read_values}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in values.items())
    return proto


def folded(proto: onnx.ModelProto, *batches: int) -> list[str]:
    """The operators of the canonical graph, which computes the same for several batches."""
    source = read(proto)
    canonicalise(source.model)
    rewritten = ir.serde.serialize_model(source.model)
    for count in batches or (1, 2):
        x = np.resize(X, (count, 3, 8))
        np.testing.assert_array_equal(reference(rewritten)({"x": x})["y"], reference(proto)({"x": x})["y"])
    return [node.op_type for node in rewritten.graph.node]


@pytest.mark.parametrize("tokens", ["3", "T"])
def test_a_reshape_keeps_the_open_sizes(tokens):
    assert folded(model(SIZES + HEAD + RESHAPE, tokens=tokens)) == ["Reshape"]


def test_an_empty_batch_stays_empty():
    """A size of −1 could not be computed there."""
    assert folded(model(SIZES + HEAD + RESHAPE), 0) == ["Reshape"]


def test_an_open_size_that_moves_is_computed():
    """No axis of the operand in this place has it."""
    kinds = folded(model(SIZES + HEAD + "to = Concat <axis = 0> (t1, n1, heads, w1) y = Reshape(x, to)"))
    assert "Shape" in kinds
    assert "Div" not in kinds


def test_a_product_of_open_sizes_is_computed():
    kinds = folded(model(SIZES + HEAD + "m = Mul(n1, heads) to = Concat <axis = 0> (t1, m, w1) y = Reshape(x, to)"))
    assert "Mul" in kinds


def test_sizes_of_a_reshape_follow_in_the_second_round():
    """The root of a head's width, as exporters write it."""
    root = (
        "z = Reshape(x, to) s2 = Shape(z) w2 = Slice(s2, last, end) w3 = Cast <to = 11> (w2) r = Sqrt(w3) y = Mul(z, r)"
    )
    proto = model(SIZES + HEAD + RESHAPE.replace("y = Reshape(x, to)", "") + root)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**62]), "end"))
    assert folded(proto) == ["Reshape", "Mul"]


def test_slices_of_sizes():
    """[N, 3] of [N, 3, 8], as `x.shape[:-1]` writes it."""
    body = "s = Shape(x) f = Slice(s, first, pair) to = Concat <axis = 0> (f, pair, heads) y = Reshape(x, to)"
    assert folded(model(body)) == ["Reshape"]
