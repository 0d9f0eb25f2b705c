"""Reductions that an input cannot have are refused, with the reason."""

from __future__ import annotations

import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from tests.reduced import model


def parsed(head, nodes, weights=""):
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> asked {head} {weights} {{ {nodes} }}')


COLUMNS = parsed("(float[N, 1] a, float[N, 1] b) => (float[N, 2] y)", "y = Concat<axis=1>(a, b)")
TIME_FIRST = parsed(
    "(float[T, N, 2] x) => (float[N, 2] y)", "a = Constant<value_ints=[0]>() y = ReduceSum<keepdims=0>(x, a)"
)
UNTOLD = parsed(
    "(float[N, 5, 8] x) => (float[N, 4] y)",
    "f = Flatten(x) y = MatMul(f, w)",
    f"<float[40, 4] w = {{{','.join(['1'] * 160)}}}>",
)


@pytest.mark.parametrize(
    ("proto", "how", "words"),
    [
        (model("columns"), "channels", "'x'.*has no axis of channels"),
        (model("NHW"), "channels", "has no axis of channels"),
        (model("columns"), "top=8", "asks for more than there is: a sample of 'x'.*has 7 elements"),
        (model("NCHW"), "grid=2+top=5", "has 4 elements by then"),
        (COLUMNS, {"a": "top=3"}, "has 1 element; top picks among the elements of one input, and never among inputs"),
        (COLUMNS, {"a": "grid=2+channels"}, "an order"),
        (TIME_FIRST, "top=3", "needs an input whose axis 0 counts samples.*along axis 1"),
        (UNTOLD, "channels", "tells which axis holds channels"),
        (UNTOLD, "grid=2", "tells which axis holds channels"),
    ],
)
def test_refused(proto, how, words):
    with pytest.raises(InputError, match=words):
        onnxlrp.convert(proto, reduce=how)


def test_what_keeps_the_shape_is_never_refused():
    assert onnxlrp.convert(TIME_FIRST, reduce="float16").interface.reduce == {"x": "float16"}


def test_a_square_picture_without_channels_has_a_grid():
    proto = parsed(
        "(float[N, 16, 16] x) => (float[N, 1] y)",
        "f = Flatten(x) y = MatMul(f, w)",
        f"<float[256, 1] w = {{{','.join(['1'] * 256)}}}>",
    )
    explained = onnxlrp.convert(proto, reduce="grid=4")
    assert [d.dim_value for d in explained.to_proto().graph.output[1].type.tensor_type.shape.dim][1:] == [4, 4]
