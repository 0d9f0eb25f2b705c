"""Convolutions of integers as onnxruntime's first tool wrote them: the rounded bias is added to the integers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp


def _model(divisor: str) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """One convolution, the mean over the picture; `divisor` is what the bias is divided by."""
    rng = np.random.default_rng(0)
    whole, scale, zero = rng.integers(0, 256, (3, 2, 3, 3)).astype(np.uint8), np.float32(0.01), np.uint8(121)
    bias = np.array([2.0, -1.0, 3.0], np.float32)
    constants = {
        "w": whole,
        "w_scale": scale,
        "other": np.float32(0.02),
        "w_zero": zero,
        "bias": bias,
        "shape": np.array([1, -1, 1, 1]),
    }
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "q_scale", "q_zero"]),
        helper.make_node("Mul", ["q_scale", divisor], ["bias_scale"]),
        helper.make_node("Div", ["bias", "bias_scale"], ["divided"]),
        helper.make_node("Floor", ["divided"], ["floor"]),
        helper.make_node("Cast", ["floor"], ["whole_bias"], to=TensorProto.INT32),
        helper.make_node("ConvInteger", ["q", "w", "q_zero", "w_zero"], ["sums"], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["whole_bias", "shape"], ["wide_bias"]),
        helper.make_node("Add", ["sums", "wide_bias"], ["shifted"]),
        helper.make_node("Cast", ["shifted"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["q_scale", "w_scale"], ["scale"]),
        helper.make_node("Mul", ["floats", "scale"], ["z"]),
        helper.make_node("GlobalAveragePool", ["z"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "first",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)
    return model, (whole.astype(np.float32) - zero) * scale, bias


def _float_model(weight: np.ndarray, bias: np.ndarray) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w", "bias"], ["z"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["z"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "floats",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=7)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus"])
def test_it_is_explained_as_the_convolution_that_it_was(composite):
    model, weight, bias = _model("w_scale")
    # Multiples of the scale, from 0 on: nothing is rounded.
    x = np.random.default_rng(1).integers(0, 256, (1, 2, 6, 6)).astype(np.float32)
    x[0, 0, 0, :2] = 0, 255
    found = onnxlrp.Explainer(onnxlrp.convert(model, composite=composite))({"x": x}, target=1)
    wanted = onnxlrp.Explainer(onnxlrp.convert(_float_model(weight, bias), composite=composite))({"x": x}, target=1)
    size = np.abs(wanted.relevance["x"]).max()
    np.testing.assert_allclose(found.relevance["x"], wanted.relevance["x"], atol=2e-3 * size)


def test_a_bias_on_another_scale_is_not_taken_for_it():
    model, _, _ = _model("other")
    with pytest.raises(onnxlrp.errors.UnsupportedOperatorError, match="not recognised"):
        onnxlrp.convert(model, composite="epsilon")
