"""Operators that are several others, ranks that only consumers know: what reading makes of them."""

from __future__ import annotations

import numpy as np
import onnx
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
