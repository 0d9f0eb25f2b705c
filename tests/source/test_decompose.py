"""Operators that are several others, ranks that only consumers know: what reading makes of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, parser

import onnxlrp
from onnxlrp.source.read import read
from tests.operators.case import onnxruntime, reference


def one(op: str, shapes: dict[str, list], opset: int, outputs: int = 1, **attributes) -> onnx.ModelProto:
    names = ["y", *(f"z{i}" for i in range(1, outputs))]
    graph = helper.make_graph(
        [helper.make_node(op, list(shapes), names, "the node", **attributes)],
        "one",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize("opset", [23, 24])
def test_an_attention_of_a_later_opset_comes_down_to_21(opset):
    shapes = {name: ["N", 2, "T", 4] for name in "qkv"}
    model = read(one("Attention", shapes, opset)).model
    kinds = {n.op_type for n in model.graph}
    assert model.graph.opset_imports[""] == 21
    assert "Attention" not in kinds and {"MatMul", "Softmax"} <= kinds
    assert model.graph.outputs[0].name == "y"


def test_what_is_written_out_runs_in_onnxruntime_and_attends():
    shapes = {name: ["N", 2, "T", 4] for name in "qkv"}
    explained = onnxlrp.convert(one("Attention", shapes, 24), "attn_lrp", target="weights")
    x = {n: np.random.default_rng(i).normal(size=(1, 2, 3, 4)).astype(np.float32) for i, n in enumerate("qkv")}
    weights = np.einsum("nhqd,nhkd->nhqk", x["q"], x["k"]) / 2
    weights = np.exp(weights) / np.exp(weights).sum(-1, keepdims=True)
    found = onnxruntime(explained.to_proto())(x)
    np.testing.assert_allclose(found["y"], weights @ x["v"], rtol=1e-4, atol=1e-6)
    assert any(row.operator == "Softmax" for row in explained.plan.rows())
    values = onnxruntime(onnxlrp.convert(one("Attention", shapes, 24), "cp_lrp", target="weights").to_proto())(x)
    # Attention weights are constant there: all relevance is at the values.
    np.testing.assert_allclose(values["v_relevance"].sum(), found["y"].sum(), rtol=1e-4)
    assert not values["q_relevance"].any()


def test_a_rank_that_only_the_consumer_knows():
    """torch writes `squeeze` as an If whose branches differ in rank; the convolution behind says which is meant."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
    main (float[N, C, 1, L] x) => (float[N, 2, M] y) {
        two = Constant <value: tensor = int64[1] {2}> ()
        one = Constant <value: tensor = int64[1] {1}> ()
        shape = Shape <start: int = 2, end: int = 3> (x)
        is = Equal (shape, one)
        flat = If (is) <
            then_branch: graph = yes () => (float[A, B, D] a) { a = Squeeze (x, two) },
            else_branch: graph = no () => (float[A, B, D, E] b) { b = Identity (x) }
        >
        s = Relu (flat)
        y = Conv (s, W)
    }"""
    model = parser.parse_model(text)
    w = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "W"))
    x = np.random.default_rng(1).normal(size=(1, 3, 1, 5)).astype(np.float32)
    explained = onnxlrp.convert(model, "epsilon", target="weights").to_proto()
    for run in (reference, onnxruntime):
        found = run(explained)({"x": x})
        np.testing.assert_allclose(found["x_relevance"].sum(), found["y"].sum(), rtol=1e-4)


# --------------------------------------------------------------------------------- operators of onnxruntime's own


def as_read(model: onnx.ModelProto) -> onnx.ModelProto:
    return ir.serde.serialize_model(read(model).model)


def parsed(text: str, opset: int = 21, **weights: np.ndarray) -> onnx.ModelProto:
    head = f'<ir_version: 10, opset_import: ["" : {opset}, "com.microsoft" : 1]>\n'
    model = parser.parse_model(head + text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items())
    return model


def kinds(model: onnx.ModelProto) -> set[str]:
    return {n.op_type for n in model.graph.node} | {n.domain for n in model.graph.node}


RNG = np.random.default_rng(3)
NORM = {"g": RNG.normal(size=8), "s": RNG.normal(size=8)}
CHAIN = """main (float[B, S, 8] x) => (float[B, S, C] y) {
    q = MatMul (x, w)
    a = com.microsoft.MultiHeadAttention <num_heads: int = 2> (q, x, x)
    n, m, d, r = com.microsoft.SkipLayerNormalization (a, x, g, s)
    f = com.microsoft.FastGelu (n)
    shape = Shape (f)
    e = Reshape (f, shape)
    b = com.microsoft.MultiHeadAttention <num_heads: int = 4> (e, r, r)
    z = com.microsoft.SkipSimplifiedLayerNormalization (b, r, g)
    y = com.microsoft.FusedMatMul <transB: int = 1> (z, w)
}"""


def test_fused_operators_behind_each_other_know_their_operands():
    """ONNX infers nothing behind the first of them, and the file declares nothing."""
    model = parsed(CHAIN, w=RNG.normal(size=(8, 8)), **NORM)
    found = as_read(model)
    assert "com.microsoft" not in kinds(found) | {o.domain for o in found.opset_import}
    assert [d.dim_param or d.dim_value for d in found.graph.output[0].type.tensor_type.shape.dim] == ["B", "S", 8]
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(onnxruntime(found)({"x": x})["y"], onnxruntime(model)({"x": x})["y"], atol=1e-5)


def test_what_the_file_declares_behind_them_is_not_trusted():
    model = parsed(CHAIN, w=RNG.normal(size=(8, 8)), **NORM)
    for name in ("a", "n", "f"):
        model.graph.value_info.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [7]))
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    found = onnxruntime(as_read(model))({"x": x})
    del model.graph.value_info[:]
    np.testing.assert_allclose(found["y"], onnxruntime(model)({"x": x})["y"], atol=1e-5)


@pytest.mark.parametrize("opset", [13, 16])
def test_an_old_file_with_fused_operators_is_lifted(opset):
    """onnxruntime writes norms into files of opsets that have none."""
    text = """main (float[B, S, 8] x) => (float[B, S, 8] y) {
        a = LayerNormalization (x, g, s)
        b = SimplifiedLayerNormalization (a, g)
        c = com.microsoft.SkipLayerNormalization (b, x, g, s)
        d = com.microsoft.BiasGelu (c, s)
        y = Softmax (d)
    }"""
    model = parsed(text, opset, **NORM)
    found = as_read(model)
    assert {o.domain: o.version for o in found.opset_import} == {"": 21}
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    np.testing.assert_allclose(onnxruntime(found)({"x": x})["y"], onnxruntime(model)({"x": x})["y"], atol=1e-5)


def test_in_a_branch():
    text = """main (float[B, S, 8] x, bool c) => (float[B, S, 8] y) {
        q = com.microsoft.QuickGelu (x)
        y = If (c) <
            then_branch: graph = yes () => (float[B, S, 8] a) {
                m = com.microsoft.MultiHeadAttention <num_heads: int = 2> (q, x, q)
                a = com.microsoft.SkipLayerNormalization (m, x, g, s)
            },
            else_branch: graph = no () => (float[B, S, 8] b) { b = com.microsoft.Gelu (q) }
        >
    }"""
    model = parsed(text, **NORM)
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    explained = onnxlrp.convert(model, "attn_lrp", target="weights", ledger=True).to_proto()
    for c in (True, False):
        feeds = {"x": x, "c": np.array(c)}
        found = onnxruntime(explained)(feeds)
        np.testing.assert_allclose(found["y"], onnxruntime(model)(feeds)["y"], atol=1e-5)
        assert found["x_relevance"].any()


def test_in_a_loop_whose_state_grows():
    """Written out on the sizes of the first step it would be wrong from the second on."""
    text = """main (float[2, 3, 8] x) => (float[N, T, 8] y) {
        trips = Constant <value: tensor = int64 {3}> ()
        yes = Constant <value: tensor = bool {1}> ()
        y = Loop (trips, yes, x) <
            body: graph = step (int64 i, bool go, float[N, T, 8] h) => (bool on, float[N, U, 8] k) {
            on = Identity (go)
            zero = Constant <value: tensor = int64[1] {0}> ()
            one = Constant <value: tensor = int64[1] {1}> ()
            a = com.microsoft.MultiHeadAttention <num_heads: int = 2, unidirectional: int = 1> (h, h, h)
            n = com.microsoft.SkipLayerNormalization (a, h, g, s)
            last = Slice (n, zero, one, one)
            k = Concat <axis: int = 1> (h, last)
        }>
    }"""
    model = parsed(text, **NORM)
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    found, expected = onnxruntime(as_read(model))({"x": x})["y"], onnxruntime(model)({"x": x})["y"]
    assert expected.shape == (2, 6, 8)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_stands_off_the_path_stays():
    """Without a rule, but nothing explained depends on it: it runs as it is."""
    text = """main (float[B, S, 8] x) => (float[B, S, 8] y, float[B, S, 8] z) {
        y = com.microsoft.Gelu (x)
        p = Constant <value: tensor = int64[1] {0}> ()
        z = com.microsoft.RotaryEmbedding <scale: float = 1.5> (x, p, c, c)
    }"""
    model = parsed(text, c=RNG.normal(size=(5, 2)))
    explained = onnxlrp.convert(model, "epsilon", output="y", target="weights").to_proto()
    x = RNG.normal(size=(2, 3, 8)).astype(np.float32)
    found, expected = onnxruntime(explained)({"x": x}), onnxruntime(model)({"x": x})
    np.testing.assert_allclose(found["y"], expected["y"], atol=1e-6)
    np.testing.assert_array_equal(found["z"], expected["z"])


def test_two_outputs_that_are_one_value_keep_their_names():
    """Keys that are handed on as they came in."""
    text = """main (float[B, S, 8] q, float[B, 2, T, 4] k)
        => (float[B, S, 8] y, float[B, 2, T, 4] a, float[B, 2, T, 4] b) {
        y, a, b = com.microsoft.MultiHeadAttention <num_heads: int = 2> (q, k, k)
    }"""
    model = parsed(text)
    feeds = {"q": RNG.normal(size=(2, 3, 8)), "k": RNG.normal(size=(2, 2, 5, 4))}
    feeds = {k: v.astype(np.float32) for k, v in feeds.items()}
    found, expected = onnxruntime(as_read(model))(feeds), onnxruntime(model)(feeds)
    assert set(found) == {"y", "a", "b"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5)
