"""Operators at which relevance ends: what they feed is constant, and the plan says why."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.operators.registry import Kind
from tests.operators.case import onnxruntime
from tests.operators.draws import DRAWS, registered

BOOLS = [helper.make_node("Greater", ["x", "zero"], ["a"]), helper.make_node("Less", ["x", "one"], ["b"])]
BITS = [helper.make_node("Cast", [v], [w], to=TensorProto.UINT8) for v, w in (("x", "a"), ("one", "b"))]
SHAPE = [helper.make_node("Shape", ["x"], ["a"])]
IDS = [helper.make_node("Cast", ["x"], ["a"], to=TensorProto.INT64)]
ENDS = [helper.make_node("Reshape", [f"{name}_axis", "none"], [name]) for name in ("n", "m")]
SLICES = [
    helper.make_node("Shape", ["x"], ["n_axis"], start=0, end=1),
    helper.make_node("Shape", ["x"], ["m_axis"], start=1, end=2),
]
STOPS = {
    **dict.fromkeys(("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "Hardmax", "IsNaN", "IsInf"), ([], ["x"], {})),
    **dict.fromkeys(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"), ([], ["x", "one"], {})),
    **dict.fromkeys(("And", "Or", "Xor"), (BOOLS, ["a", "b"], {})),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor"), (BITS, ["a", "b"], {})),
    "BitShift": (BITS, ["a", "b"], {"direction": "LEFT"}),
    "BitwiseNot": (BITS[:1], ["a"], {}),
    "Not": (BOOLS[:1], ["a"], {}),
    "ConstantOfShape": (SHAPE, ["a"], {}),
    "EyeLike": ([], ["x"], {}),
    "Range": ([*SLICES, *ENDS], ["n", "m", "n"], {}),
    "OneHot": (IDS, ["a", "three", "pair"], {}),
    "RandomNormalLike": ([], ["x"], {"seed": 1.0}),
    "RandomUniformLike": ([], ["x"], {"seed": 1.0}),
    "Multinomial": ([], ["x"], {"seed": 1.0, "sample_size": 1}),
    "Bernoulli": ([helper.make_node("Sigmoid", ["x"], ["a"])], ["a"], {"seed": 1.0}),
}
CONSTANTS = {
    "zero": np.float32(0),
    "one": np.float32([[1.0, 0.5, -1.0]]),
    "none": np.zeros(0, np.int64),
    "three": np.int64(3),
    "pair": np.float32([0, 1]),
}


@pytest.mark.parametrize("name", registered(Kind.STOP))
def test_relevance_ends(name):
    """y = 2x + the mean of what the operator makes of x: the gradient is that of 2x."""
    assert name in STOPS, f"no model of {name}: add one"
    before, operands, attributes = STOPS[name]
    nodes = [
        *before,
        helper.make_node(name, operands, ["made"], name="stop", **attributes),
        helper.make_node("Cast", ["made"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["number"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["x", "two"], ["twice"]),
        helper.make_node("Add", ["twice", "mean"], ["y"]),
    ]
    constants = {**CONSTANTS, "two": np.float32(2)}
    graph = helper.make_graph(
        nodes,
        "stop",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    for composite, expected in (("gradient", 2.0), ("lrp0", None)):
        explained = onnxlrp.convert(model, composite, target="weights")
        assert not any(step.name == "stop" for step in explained.plan.steps)
        x = np.float32([[0.5, -1.5, 2.0], [3.0, 1.0, -0.31]])
        outputs = onnxruntime(explained.to_proto())({"x": x})
        if expected is not None:
            np.testing.assert_array_equal(outputs["x_relevance"], np.full_like(x, expected))
        else:
            np.testing.assert_allclose(outputs["x_relevance"], 2 * x, rtol=1e-5)


def test_every_operator_is_tried():
    """Nothing in the registry without a test here, nothing here that the registry has no entry for."""
    tried = {*DRAWS, *STOPS}
    assert set(registered(*Kind)) == tried
