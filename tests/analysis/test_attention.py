"""`auto` knows attention when it sees it: a product of two data operands, one of them out of a softmax."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp

GUARD = [helper.make_node("IsNaN", ["p"], ["odd"]), helper.make_node("Where", ["odd", "zero", "p"], ["weights"])]
PLAIN = [helper.make_node("Identity", ["p"], ["weights"])]


def attention(after_softmax: list, *, gate: bool = False):
    """x·W -> scores, softmax (or a sigmoid), times x, pooled."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["k"]),
        helper.make_node("Transpose", ["k"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["s"]),
        helper.make_node("Sigmoid" if gate else "Softmax", ["s"], ["p"]),
        *after_softmax,
        helper.make_node("MatMul", ["weights", "x"], ["v"]),
        helper.make_node("ReduceMean", ["v", "axis"], ["y"], keepdims=0),
    ]
    constants = {"w": np.eye(4, dtype=np.float32), "zero": np.float32(0), "axis": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "attention",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 5, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


@pytest.mark.parametrize("after", [PLAIN, GUARD], ids=["plain", "guarded against NaN"])
def test_a_pure_transformer_gets_attention_rules(after):
    plan = onnxlrp.inspect(attention(after))
    assert str(plan).startswith("auto (attention: ")
    assert "half each" in str(plan)


def test_a_gated_product_is_no_attention():
    assert str(onnxlrp.inspect(attention(PLAIN, gate=True)).composite) == "epsilon"
