"""Operands whose sizes do not fit are refused, naming node and operand, where onnx's inference compares nothing."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InvalidModelError

CASES = {
    "Gemm": (["x", "w", "b"], [2, 3], {"w": (3, 4), "b": (3,)}, {}, "b"),
    "Conv": (["x", "w", "b"], [1, 2, 5], {"w": (4, 2, 3), "b": (3,)}, {}, "b"),
    "LayerNormalization": (["x", "w", "b"], [2, 3], {"w": (3,), "b": (2,)}, {}, "b"),
    "InstanceNormalization": (["x", "s", "b"], [2, 3, 4], {"s": (3,), "b": (4,)}, {}, "b"),
    "LSTM": (["x", "w", "r"], [5, 2, 3], {"w": (1, 8, 3), "r": (1, 8, 3)}, {"hidden_size": 2}, "r"),
    "GRU": (["x", "w", "r", "b"], [5, 2, 3], {"w": (1, 6, 3), "r": (1, 6, 2), "b": (1, 6)}, {"hidden_size": 2}, "b"),
}


@pytest.mark.parametrize("op_type", CASES)
def test_sizes_that_do_not_fit(op_type):
    names, shape, weights, attributes, wrong = CASES[op_type]
    node = helper.make_node(op_type, names, ["y"], "layer", **attributes)
    tensors = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in weights.items()]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", shape), ("y", None)))
    graph = helper.make_graph([node], "net", [x], [y], tensors)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(InvalidModelError, match=rf"{op_type} node 'layer'.*'{wrong}'.*must have"):
        onnxlrp.convert(proto, target="weights")


def test_a_transpose_that_leaves_an_axis_out():
    node = helper.make_node("Transpose", ["x"], ["y"], "turn", perm=[0, 1])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 3, 4]), ("y", None)))
    proto = helper.make_model(helper.make_graph([node], "net", [x], [y]), opset_imports=[helper.make_opsetid("", 17)])
    proto.ir_version = 8
    with pytest.raises(InvalidModelError, match=r"Transpose node 'turn'.*each of the 3 axes"):
        onnxlrp.convert(proto, target="weights")


@pytest.mark.parametrize("op_type", ["Softmax", "LayerNormalization"])
@pytest.mark.parametrize("axis", [2, -3, -(2**40)])
def test_an_axis_that_is_not_there(op_type, axis):
    node = helper.make_node(
        op_type, ["x", "w"][: 2 if op_type == "LayerNormalization" else 1], ["y"], "along", axis=axis
    )
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 3]), ("y", None)))
    graph = helper.make_graph([node], "net", [x], [y], [numpy_helper.from_array(np.ones(3, np.float32), "w")])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(InvalidModelError, match=rf"{op_type} node 'along'.*"):
        onnxlrp.convert(proto, target="weights")
