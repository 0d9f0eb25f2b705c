"""A batch of no samples, as a server sends it: where the source runs on it, so does the explained model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

import onnxlrp
from tests.operators.case import onnxruntime
from tests.oracle.half import in_type
from tests.oracle.zoo import NETS
from tests.source.nets import model

BODIES = {
    "ReduceMean": "h = ReduceMean <keepdims = 0> (x, one)",
    "ReduceMax": "h = ReduceMax <keepdims = 0> (x, one)",
    "ReduceProd": "h = ReduceProd <keepdims = 0> (x, one)",
    "Einsum": 'h = Einsum <equation = "ntc->nc"> (x)',
    "Attention": "q, k, v = Split <axis = 2> (x, thirds)\n"
    "a = com.microsoft.MultiHeadAttention <num_heads = 2> (q, k, v)\n"
    "h = ReduceSum <keepdims = 0> (a, one)",
}


def _check(source: onnx.ModelProto, feeds: dict[str, np.ndarray], composite: str) -> None:
    """Run both on no samples."""
    explained = onnxruntime(onnxlrp.convert(source, composite, target="weights").to_proto())(feeds)
    for name, value in onnxruntime(source)(feeds).items():
        assert explained[name].shape == value.shape
    for name, value in feeds.items():
        assert explained[f"{name}_relevance"].shape == value.shape


@pytest.mark.parametrize("composite", ["epsilon_plus", "gradient"])
@pytest.mark.parametrize("net", [*NETS])
def test_networks(net, composite):
    network = NETS[net]()
    if net in ("residual", "mixer"):
        pytest.skip("onnxruntime itself does not run the source on no samples")
    feeds = {name: value[:0].astype(np.float32) for name, value in network.feeds(1).items()}
    source = in_type(network.model(dynamic=True), TensorProto.FLOAT)
    _check(source, feeds, composite)


@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
@pytest.mark.parametrize("name", [*BODIES])
def test_operators(name, composite):
    width = 4 if name == "Attention" else 12
    source = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>'
        f"net (float[N, T, 12] x) => (float[N, {width}] h) {{ {BODIES[name]} }}"
    )
    constants = model([], [], [], {"one": np.array([1]), "thirds": np.array([4, 4, 4])}).graph.initializer
    source.graph.initializer.extend(constants)
    _check(source, {"x": np.zeros((0, 5, 12), np.float32)}, composite)
