"""Scores that are no outputs: those of a sequence, and those that an ArgMax compares, can be named."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, parser

import onnxlrp
from onnxlrp.errors import InvalidModelError
from tests.operators.case import onnxruntime

X = np.float32([[1, 2, 3], [4, -5, 6]])
WEIGHT = "float[3,2] w = {1, 2, 3, 4, 5, -6}, float[3,2] v = {1, -2, 3, 4, 5, 6}"


def model(body: str, out: str) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]>\ng (float[N,3] x) => ({out}) <{WEIGHT}> {{ {body} }}'
    )


def lists() -> onnx.ModelProto:
    """Two classifiers in one file, whose scores are a sequence."""
    made = model("a = MatMul(x, w) p = Softmax(a) q = MatMul(x, v) y = SequenceConstruct(p, q)", "float[N,2] y")
    scores = helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    made.graph.output[0].type.CopyFrom(helper.make_sequence_type_proto(scores))
    return made


@pytest.mark.parametrize(("name", "weight"), [("p", [[1, 2], [3, 4], [5, -6]]), ("q", [[1, -2], [3, 4], [5, 6]])])
def test_members_of_a_sequence(name, weight):
    """The sequence stays an output as it was, and the named member becomes one."""
    source = lists()
    found = onnxlrp.Explainer(onnxlrp.convert(source, output=name))({"x": X}, target=1)
    np.testing.assert_allclose(found.relevance["x"], X * np.float32(weight)[:, 1], rtol=1e-5)
    for member, expected in zip(found.outputs["y"], onnxruntime(source)({"x": X})["y"], strict=True):
        np.testing.assert_array_equal(member, expected)


def test_compared_scores():
    source = model("a = MatMul(x, w) y = ArgMax<axis=1, keepdims=0>(a)", "int64[N] y")
    found = onnxlrp.Explainer(onnxlrp.convert(source, output="a"))({"x": X}, target=0)
    np.testing.assert_allclose(found.relevance["x"], X * [1, 3, 5], rtol=1e-5)


def test_the_message_names_them():
    with pytest.raises(InvalidModelError, match=r"y: Sequence\(.*output='p' or output='q' explains scores"):
        onnxlrp.convert(lists())
