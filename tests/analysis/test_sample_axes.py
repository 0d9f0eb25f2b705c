"""Axes of samples and channels, told by layers and by sizes."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir
import pytest

from onnxlrp.analysis.sample_axes import SampleAxes, axes_of_input

WEIGHTS = "float[4, 3, 3, 3] w, float[4, 5, 3] v, float[5, 4] m, float[1, 16, 5] i, float[1, 16, 4] r"
TOLD = {
    "NCHW": ("N, 3, H, W", "y = Conv(x, w)", SampleAxes(0, 1)),
    "NHWC": ("N, 3, W, 3", "t = Transpose<perm = [0, 3, 1, 2]>(x) y = Conv(t, w)", SampleAxes(0, 3)),
    "scaled": ("N, H, W, 3", "s = Mul(x, x) t = Transpose<perm = [0, 3, 1, 2]>(s) y = Conv(t, w)", SampleAxes(0, 3)),
    "NCT": ("N, 5, T", "y = Conv(x, v)", SampleAxes(0, 1)),
    "TNC": ("T, N, 5", "y, h, c = LSTM<hidden_size = 4>(x, i, r)", SampleAxes(1, 2)),
    "NTC": ("N, T, 5", "y = MatMul(x, m)", SampleAxes(0, 2)),
}
SIZES = {
    "N, 3, H, W": SampleAxes(0, 1),
    "N, H, W, 3": SampleAxes(0, 3),
    "N, C, H, W": SampleAxes(0, 1),
    "N, 7, 8, 9": SampleAxes(0, None, is_known=False),
    "N, 2, D, H, W": SampleAxes(0, 1),
    "N, T, 3, H, W": SampleAxes(0, 2),
    "N, 5, T": SampleAxes(0, 1),
    "N, T, 5": SampleAxes(0, 2),
    "N, 28, 28": SampleAxes(0, None),
    "N, 5, 8": SampleAxes(0, None, is_known=False),
    "N, 5": SampleAxes(0, None),
    "N": SampleAxes(0, None),
}


def axes(shape, nodes, is_one_sample=False, symbol="N"):
    """The axes of the input of a graph."""
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 21]> axes (float[{shape}] x, {WEIGHTS}) => (y) '
        f"<int64[1] zero = {{0}}> {{ {nodes} }}"
    )
    proto = onnx.shape_inference.infer_shapes(proto)
    return axes_of_input(ir.serde.deserialize_model(proto).graph.inputs[0], symbol, is_one_sample)


@pytest.mark.parametrize("name", TOLD)
def test_told_by_a_layer(name):
    shape, nodes, wanted = TOLD[name]
    assert axes(shape, nodes) == wanted


@pytest.mark.parametrize("shape", SIZES)
def test_told_by_sizes(shape):
    assert axes(shape, "y = Identity(x)") == SIZES[shape]


def test_the_size_that_counts_samples_of_the_output():
    assert axes("T, N, 5", "y = Identity(x)").batch == 1
    assert axes("T, N, 5", "y = Identity(x)", symbol="M").batch == 0


def test_an_axis_of_samples_that_the_model_adds():
    nodes = "u = Unsqueeze(x, zero) t = Transpose<perm = [0, 3, 1, 2]>(u) y = Conv(t, w)"
    assert axes("8, 9, 3", nodes, symbol=None) == SampleAxes(None, 2)
    assert axes("H, W, 3", nodes, symbol=None) == SampleAxes(None, 2)
    assert axes("1, 9, 3", nodes, symbol=None) == SampleAxes(None, 2)


def test_one_sample_without_an_axis_of_samples():
    assert axes("3, 8, 9", "y = Identity(x)", is_one_sample=True, symbol=None) == SampleAxes(None, 0)
    assert axes("1, 3, 8, 9", "y = Identity(x)", is_one_sample=True, symbol=None) == SampleAxes(0, 1)
