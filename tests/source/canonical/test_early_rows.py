"""A row that is taken at the end is taken upstream of the products that work on each row alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from tests.operators.case import reference

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 5, 6))
HEAD = '<ir_version: 8, opset_import: ["" : 17]> g (double[N, 5, 6] x) => (double[N, 4] y'
WEIGHTS = {
    "w": (6, 8),
    "v": (8, 6),
    "u": (6, 6),
    "head": (6, 4),
    "b": (8,),
    "c": (6,),
    "gamma": (6,),
    "table": (1, 5, 6),
}
MIXED = "t = Transpose <perm = [0, 2, 1]> (x) s = MatMul(x, t) p = Softmax(s) m = MatMul(p, x) "
BLOCK = (
    "n = LayerNormalization(m, gamma, c) h = MatMul(n, w) i = Add(h, b) a = Relu(i) o = MatMul(a, v) r = Add(o, m) "
    "g = Gather <axis = 1> (r, place) y = MatMul(g, head) "
)
FLAT = (
    "n = LayerNormalization(m, gamma, c) f = Reshape(n, rows) h = Gemm(f, w, b) s0 = Shape(n) "
    "s1 = Slice(s0, zero, two) s2 = Concat <axis = 0> (s1, eight) i = Reshape(h, s2) a = Relu(i) "
    "f2 = Reshape(a, wide) o = Gemm(f2, v, c) o3 = Reshape(o, back) r = Add(o3, m) "
    "g = Gather <axis = 1> (r, place) y = MatMul(g, head) "
)
INTEGERS = {"zero": [0], "two": [2], "eight": [8], "rows": [-1, 6], "wide": [-1, 8], "back": [-1, 5, 6]}


def model(body: str, place: object = 0, outputs: str = "") -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f"{HEAD}{outputs}) {{ {body} }}")
    values = {name: np.random.default_rng(len(name) + shape[0]).normal(size=shape) for name, shape in WEIGHTS.items()}
    values |= {name: np.array(number) for name, number in (INTEGERS | {"place": place}).items()}
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in values.items() if k in read)
    for node in proto.graph.node:
        node.name = f"at_{node.output[0]}"
    return proto


def rows_of(proto: onnx.ModelProto, name: str = "at_h", **options: object) -> int:
    """Tell how many rows a node, the first product of the last block, computes in the explained model."""
    found = onnxlrp.convert(proto, "attn_lrp", **options).to_proto()
    graph = onnx.shape_inference.infer_shapes(found).graph
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.value_info, *graph.output)}
    product = next(n for n in graph.node if n.name == name)
    shape = sizes[product.output[0]]
    return shape[1]


def relevances(proto: onnx.ModelProto, **options: object) -> dict[str, np.ndarray]:
    return reference(onnxlrp.convert(proto, "attn_lrp", **options).to_proto())({"x": X})


@pytest.mark.parametrize("place", [0, 2, -1, [3]])
@pytest.mark.parametrize("body", [MIXED + BLOCK, MIXED + FLAT], ids=["three axes", "two axes"])
def test_relevance_is_the_same(body, place):
    """Whoever asks for an inner value keeps all rows of it, and so the products as they were."""
    body = body.replace("y = MatMul(g, head)", "k = Squeeze(g, one) y = MatMul(k, head)") if place == [3] else body
    proto = model(body, place)
    if place == [3]:
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "one"))
    early, whole = relevances(proto), relevances(proto, values_at=["r"])
    assert whole["r_value"].shape == (3, 5, 6)
    for name in ("y", "x_relevance"):
        np.testing.assert_allclose(early[name], whole[name], rtol=1e-9, atol=1e-12)


def test_the_products_compute_one_row():
    proto = model(MIXED + BLOCK)
    assert rows_of(proto) == 1
    assert rows_of(proto, values_at=["a"]) == 5
    assert rows_of(proto, relevance_at=["i"]) == 5


def flattened(proto: onnx.ModelProto) -> list[str]:
    """The nodes around the products of two axes."""
    nodes = onnxlrp.convert(proto, "attn_lrp").to_proto().graph.node
    makers = {output: node for node in nodes for output in node.output}
    return [makers[node.input[0]].op_type for node in nodes if node.name in ("at_h", "at_o")]


def test_rows_of_two_axes_are_no_longer_merged():
    """Their sizes are then counted for nothing."""
    proto = model(MIXED + FLAT)
    assert flattened(proto) == ["Squeeze", "Squeeze"]
    assert rows_of(proto, "at_n") == 1
    other = model(
        MIXED
        + FLAT.replace(
            "r = Add(o3, m)",
            "q = Transpose <perm = [0, 2, 1]> (o3) q2 = Transpose <perm = [0, 2, 1]> (q) r = Add(q2, m)",
        )
    )
    assert flattened(other) == ["Reshape", "Reshape"]


@pytest.mark.parametrize(
    ("old", "new", "outputs"),
    [
        pytest.param("", "", ", double[N, 5, 6] r", id="all rows are an output"),
        pytest.param("y = MatMul(g, head)", "z = ReduceMax <axes = [1], keepdims = 0> (r) g2 = Add(g, z) "
                     "y = MatMul(g2, head)", "", id="all rows are read"),
        pytest.param("y = MatMul(g, head)", "z = Gather <axis = 1> (r, one) g2 = Add(g, z) y = MatMul(g2, head)", "",
                     id="two rows are read"),
        pytest.param("r = Add(o, m)", "q = CumSum(o, one) r = Add(q, m)", "", id="rows are mixed"),
    ],
)  # fmt: skip
def test_products_of_all_rows_stay(old, new, outputs):
    body = (MIXED + BLOCK).replace(old, new) if old else MIXED + BLOCK
    proto = model(body, outputs=outputs)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1), "one"))
    if outputs:
        proto.graph.initializer.pop()
    found = {"output": "y"} if outputs else {}
    assert rows_of(proto, **found) == 5


def test_a_table_of_rows_is_taken_too():
    """A constant that differs by row, and a value that is one row for all."""
    body = (MIXED + BLOCK).replace("i = Add(h, b)", "t2 = Add(n2, b) i = Identity(t2)")
    body = body.replace("h = MatMul(n, w)", "n0 = Add(n, table) z = ReduceMean <axes = [1], keepdims = 1> (x) "
                        "n1 = Mul(n0, z) h = MatMul(n1, w) n2 = Identity(h)")  # fmt: skip
    proto = model(body, 3)
    assert rows_of(proto) == rows_of(proto, "at_n0") == 1
    early, whole = relevances(proto), relevances(proto, values_at=["r"])
    np.testing.assert_allclose(early["x_relevance"], whole["x_relevance"], rtol=1e-9, atol=1e-12)


def test_the_reason_is_told():
    plan = onnxlrp.inspect(model("g = Gather <axis = 1> (x, place) y = MatMul(g, head)"), why_not="at_g")
    assert any("no product upstream of it" in sentence for sentence in plan.why_not)
