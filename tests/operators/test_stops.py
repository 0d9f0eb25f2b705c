"""Operators at which relevance ends: what they feed is constant, and the plan says why."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from onnxlrp.operators.registry import Kind
from tests.operators.case import onnxruntime
from tests.operators.draws import DRAWS, registered

RNG = np.random.default_rng(4)
BOOLS = [helper.make_node("Greater", ["x", "zero"], ["a"]), helper.make_node("Less", ["x", "one"], ["b"])]
BITS = [helper.make_node("Cast", [v], [w], to=TensorProto.UINT8) for v, w in (("x", "a"), ("one", "b"))]
SHAPE = [helper.make_node("Shape", ["x"], ["a"])]
ENDS = [helper.make_node("Reshape", [f"{name}_axis", "none"], [name]) for name in ("n", "m")]
SLICES = [
    helper.make_node("Shape", ["x"], ["n_axis"], start=0, end=1),
    helper.make_node("Shape", ["x"], ["m_axis"], start=1, end=2),
]
TEXT = [helper.make_node("Cast", ["x"], ["a"], to=TensorProto.STRING)]
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
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), ([*SLICES, *ENDS], ["m"], {})),
    "MelWeightMatrix": ([*SLICES, *ENDS], ["three", "sixteen", "sixteen", "low", "high"], {}),
    "SequenceLength": ([helper.make_node("SequenceConstruct", ["x", "x"], ["a"])], ["a"], {}),
    "SequenceEmpty": ([], [], {}),
    "OptionalHasElement": ([], ["x"], {}),
    "Constant": ([], [], {"value_float": 1.0}),
    "NonMaxSuppression": ([helper.make_node("Reshape", ["x", "row"], ["a"])], ["boxes", "a", "three"], {}),
    "StringConcat": (TEXT, ["a", "zero_text"], {}),
    "StringSplit": (TEXT, ["a"], {"delimiter": "_"}),
    "RegexFullMatch": (TEXT, ["a"], {"pattern": "-.*"}),
    "ImageDecoder": ([*BITS[:1], helper.make_node("Reshape", ["a", "minus"], ["bytes"])], ["bytes"], {}),
    "BitCast": ([], ["x"], {"to": TensorProto.INT32}),
    **dict.fromkeys(("RandomNormal", "RandomUniform"), ([], [], {"seed": 1.0, "shape": [2, 3]})),
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
    "sixteen": np.int64(16),
    "low": np.float32(0),
    "high": np.float32(8),
    "row": np.int64([1, 1, -1]),
    "minus": np.int64([-1]),
    "boxes": np.float32(RNG.uniform(size=(1, 6, 4))),
    "zero_text": np.array(["0"], object),
}
OPSETS = {"BitCast": 26}
MORE = {"StringSplit": ["count"]}
NO_KERNEL = frozenset({"ImageDecoder", "BitCast"})
"""Of which onnxruntime runs no model."""
REFUSED = {
    "ConvInteger": ["q"] * 2,
    "MatMulInteger": ["q"] * 2,
}
"""Quantised arithmetic: refused, so that no relevance ends there in silence."""


@pytest.mark.parametrize("name", registered(Kind.STOP))
def test_relevance_ends(name):
    """y = 2x + the mean of what the operator makes of x: the gradient is that of 2x."""
    assert name in STOPS, f"no model of {name}: add one"
    before, operands, attributes = STOPS[name]
    # A list is no number: its length is one.
    result = "list" if name == "SequenceEmpty" else "made"
    nodes = [
        *before,
        helper.make_node(name, operands, [result, *MORE.get(name, [])], name="stop", **attributes),
        *([helper.make_node("SequenceLength", [result], ["made"])] if result != "made" else []),
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
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS.get(name, 21))], ir_version=10)
    for composite, expected in (("gradient", 2.0), ("lrp0", None)):
        explained = onnxlrp.convert(model, composite, target="weights")
        assert not any(step.name == "stop" for step in explained.plan.steps)
        if name in NO_KERNEL:
            continue
        x = np.float32([[0.5, -1.5, 2.0], [3.0, 1.0, -0.31]])
        outputs = onnxruntime(explained.to_proto())({"x": x})
        if expected is not None:
            np.testing.assert_array_equal(outputs["x_relevance"], np.full_like(x, expected))
        else:
            np.testing.assert_allclose(outputs["x_relevance"], 2 * x, rtol=1e-5)


@pytest.mark.parametrize("name", registered(Kind.REFUSED))
def test_quantised_arithmetic_is_refused(name):
    nodes = [
        helper.make_node(name, REFUSED[name], ["made"], name="refused"),
        helper.make_node("Cast", ["made"], ["y"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "refused",
        [helper.make_tensor_value_info("q", TensorProto.UINT8, [1, 1, 3, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with pytest.raises(UnsupportedOperatorError, match="in a way that is not recognised"):
        onnxlrp.convert(model, "epsilon", target="weights")


def test_boxes_that_are_kept_are_followed():
    """What NonMaxSuppression gives are positions; the boxes gathered at them carry relevance."""
    nodes = [
        helper.make_node("NonMaxSuppression", ["boxes", "scores", "three"], ["kept"]),
        helper.make_node("Gather", ["kept", "last"], ["places"], axis=1),
        helper.make_node("Gather", ["boxes", "places"], ["chosen"], axis=1),
        helper.make_node("Mul", ["chosen", "two"], ["y"]),
    ]
    constants = {"three": np.int64(3), "last": np.int64(2), "two": np.float32(2)}
    graph = helper.make_graph(
        nodes,
        "detector",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, "boxes", 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, "boxes"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    explained = onnxlrp.convert(model, "epsilon", target="weights", initial="one")
    assert list(explained.interface.relevance) == ["boxes"]
    corners = np.float32([[0, 0], [5, 5], [9, 0], [0, 9], [9, 9]])
    boxes = np.concatenate([corners, corners + 2], 1)[None]
    scores = np.float32([[[0.3, 0.9, 0.1, 0.7, 0.2]]])
    weights = np.float32(RNG.normal(size=(1, 3, 4)))
    outputs = onnxruntime(explained.to_proto())({"boxes": boxes, "scores": scores, "y_weights": weights})
    expected = np.zeros_like(boxes)
    expected[:, [1, 3, 0]] = weights
    np.testing.assert_allclose(outputs["y"], 2 * boxes[:, [1, 3, 0]])
    np.testing.assert_allclose(outputs["boxes_relevance"], expected)


def test_every_operator_is_tried():
    """Nothing in the registry without a test here, nothing here that the registry has no entry for."""
    tried = {*DRAWS, *STOPS, *REFUSED}
    assert set(registered(*Kind)) == tried
