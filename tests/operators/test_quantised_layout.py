"""Quantised convolutions and pools with channels last, as onnxruntime's last level of optimisation writes them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxlrp
from onnxlrp.source.read import read
from tests.emit.cuda_kernels import missing
from tests.operators.case import onnxruntime
from tests.operators.test_quantised import FUSED, Net

X = {"x": np.random.default_rng(1).normal(size=(2, 3, 9, 8)).astype(np.float32)}


def network(shape: list) -> onnx.ModelProto:
    """Three convolutions on integers, of which one is depthwise, and a pool of each kind."""
    rng, net = np.random.default_rng(0), Net(shape)
    near = net.const(np.float32(0.03)), net.const(np.uint8(120))
    h = net.add("QuantizeLinear", "x", *near)

    def conv(h: str, out: int, into: int, kernel: int, **attributes) -> str:
        weight = net.const(rng.integers(-90, 90, (out, into, kernel, kernel)).astype(np.int8))
        scale, zero = net.const(np.linspace(0.01, 0.02, out, dtype=np.float32)), net.const(np.zeros(out, np.int8))
        bias = net.const(rng.integers(-900, 900, out).astype(np.int32))
        return net.add("QLinearConv", h, *near, weight, scale, zero, *near, bias, **attributes)

    h = conv(h, 8, 3, 3, pads=[1, 1, 0, 1], strides=[2, 1], kernel_shape=[3, 3])
    h = net.add("MaxPool", h, kernel_shape=[2, 2], strides=[1, 2], pads=[0, 1, 0, 1])
    h = conv(h, 8, 1, 3, group=8, auto_pad="SAME_UPPER", kernel_shape=[3, 3])
    h = net.add("QLinearAveragePool", h, *near, *near, domain=FUSED, kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2])
    h = conv(h, 6, 8, 1)
    h = net.add("QLinearGlobalAveragePool", h, *near, *near, domain=FUSED, channels_last=0)
    return net.model(net.add("DequantizeLinear", h, *near))


def optimised(source: onnx.ModelProto, path: str) -> onnx.ModelProto:
    options = ort.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 4, path
    ort.InferenceSession(source.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


@pytest.mark.parametrize("shape", [["N", 3, 9, 8], ["N", 3, "H", "W"]], ids=str)
@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1_flat"])
def test_it_is_explained_as_the_model_that_was_optimised(shape, composite, tmp_path):
    source = network(shape)
    last = optimised(source, str(tmp_path / "last.onnx"))
    own = {n.op_type for n in last.graph.node if n.domain == FUSED}
    if "QLinearConv" not in own:
        pytest.skip("this processor's onnxruntime keeps channels in front")
    assert {"QLinearConv", "NhwcMaxPool", "QLinearAveragePool"} <= own
    ours, theirs = (onnxlrp.convert(m, composite, ledger=True).to_proto() for m in (last, source))
    found, expected = onnxruntime(ours)(X), onnxruntime(theirs)(X)
    np.testing.assert_array_equal(found["y"], onnxruntime(last)(X)["y"])
    np.testing.assert_array_equal(found["y"], expected["y"])
    largest = np.abs(expected["x_relevance"]).max()
    np.testing.assert_allclose(found["x_relevance"], expected["x_relevance"], rtol=1e-4, atol=1e-5 * largest)
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-4 * np.abs(table).max())
    assert missing(onnxlrp.convert(last, composite).to_proto()) == []


def test_sizes_are_known(tmp_path):
    """What nobody infers would make everything behind it dynamic."""
    graph = read(optimised(network([2, 3, 9, 8]), str(tmp_path / "last.onnx"))).model.graph
    assert all(v.shape is not None and v.shape.is_static() for n in graph for v in n.outputs)
