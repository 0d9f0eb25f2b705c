"""The axis of time: what convolutions slide along, and recurrent layers step through."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest

import onnxlrp
from onnxlrp.analysis.time_axes import time_axis_of

HEAD = '<ir_version: 9, opset_import: ["": 17]>'


def axis_of(nodes: str, shape: str = "N, 6, 6", **attributes) -> int | None:
    text = f"{HEAD} g (float[{shape}] x, float[4, 6, 3] w, float[4, 6, 1, 3] v, float[1, 16, 6] i, float[1, 16, 4] r)"
    proto = onnx.parser.parse_model(f"{text} => (float[a, b, c] y) <int64[1] a = {{2}}> {{ {nodes} }}")
    proto = onnx.shape_inference.infer_shapes(proto)
    return time_axis_of(ir.from_proto(proto).graph.inputs[0])


@pytest.mark.parametrize(
    ("nodes", "axis"),
    [
        ("y = Conv(x, w)", 2),
        ("t = Transpose <perm = [0, 2, 1]> (x)  y = Conv(t, w)", 1),
        ("s = Relu(x)  d = Div(s, s)  y = Conv(d, w)", 2),
        ("u = Unsqueeze(x, a)  z = Conv(u, v)  y = Squeeze(z, a)", 2),
        ("t = Transpose <perm = [1, 0, 2]> (x)  h, y = LSTM <hidden_size = 4> (t, i, r)", 1),
        ("t = Transpose <perm = [2, 0, 1]> (x)  h, y = GRU <hidden_size = 4> (t, i, r)", 2),
        ("h, y = LSTM <hidden_size = 4, layout = 1> (x, i, r)", 1),
        ("y = Relu(x)", None),
        ("t = Unsqueeze(x, x)  y = Relu(t)", None),
    ],
)
def test_layers_tell_the_axis(nodes, axis):
    assert axis_of(nodes) == axis


def test_other_ranks_are_no_series():
    assert axis_of("y = Relu(x)", "N, 3, 6, 6") is None


def test_the_explained_model_says_it():
    explained = onnxlrp.convert("models/digits_lstm/digits_lstm.onnx")
    assert explained.interface.time_axes == {"rows": 1}
    broken = {**explained.interface.to_metadata(), "onnxlrp.time_axes": '{"rows": 7}'}
    with pytest.raises(ValueError, match="axes of time"):
        onnxlrp.Interface.from_metadata(broken)
