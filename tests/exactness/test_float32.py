"""The same networks in float32 by onnxruntime: what users run. The reference evaluator and onnxruntime must agree on
every operator that the relevance part uses; only rounding may be left over."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.exactness.test_batches import any_size
from tests.exactness.test_steps import STEPS, base, end
from tests.oracle.compare import Explained, error
from tests.oracle.composites import composite, of_package
from tests.oracle.engine import Oracle
from tests.oracle.net import Array, Net
from tests.oracle.zoo import NETS

onnxruntime = pytest.importorskip("onnxruntime")

BOX = {"low": -3.0, "high": 3.0}
# a large ε, and rules without cancellation: with ε = 1e-6 float32 itself is the error (docs/rules.md, Conditioning)
COMPOSITES = [
    ("epsilon", {"epsilon": 0.05}),
    ("epsilon_plus_flat", {}),
    ("epsilon_gamma_box", BOX),
    ("epsilon_alpha2_beta1", {}),
    ("deep_taylor", {}),
    ("gradient", {}),
    ("guided_backprop", {}),
]
TOLERANCE = 2e-5


def single(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model in float32."""
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE:
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.DOUBLE:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    return model


def run(model: onnx.ModelProto, feeds: dict[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v.astype(np.float32) for k, v in feeds.items()}), strict=True))


def _held(value: Array) -> Array:
    return value.astype(np.float32).astype(np.float64)


def check(net: Net, case: tuple[str, dict], feeds: dict[str, Array], model: onnx.ModelProto | None = None) -> None:
    name, params = case
    # the oracle keeps its float64, but with the very weights and inputs that float32 can hold
    net.constants = {k: _held(v) if v.dtype == np.float64 else v for k, v in net.constants.items()}
    feeds = {key: _held(value) for key, value in feeds.items()}
    source = single(model or net.model())
    explained = Explained(source, composite=of_package(name, **params))
    outputs, plain = run(explained.proto, feeds), run(source, feeds)
    for key, value in plain.items():
        np.testing.assert_allclose(outputs[key], value, rtol=1e-5, atol=1e-5 * np.abs(value).max())
    truth = Oracle(net, feeds, composite(name, **params)).explain()
    for key, output in explained.interface.relevance.items():
        assert outputs[output].dtype == np.float32
        # of the batch as a whole: where the score of one sample is almost 0, float32 itself is the error
        assert error(outputs[output].astype(np.float64)[None], truth[key][None]) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_networks(net, case):
    network = NETS[net]()
    check(network, case, network.feeds(batch=3, low=-3.0, high=3.0))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("case", [("epsilon_plus", {}), ("epsilon", {"epsilon": 0.05})], ids=str)
def test_steps(step, case):
    net, h = base()
    end(net, STEPS[step](net, h))
    check(net, case, net.feeds())


@pytest.mark.parametrize("name", ["pools", "residual", "transposed", "auto_pad", "dilated"])
def test_one_file_for_all_sizes(name):
    network = any_size(name)
    for batch, height, width in [(1, 13, 12), (2, 12, 11), (3, 11, 17)]:
        feeds = {"x": np.random.default_rng(3).normal(size=(batch, 2, height, width))}
        check(network, ("epsilon_plus", {}), feeds, network.model(dynamic=True))


@pytest.mark.parametrize("narrow", [{"kernel": 3, "group": 8, "pads": [1, 1, 1, 1]}, {"kernel": 1}], ids=str)
def test_few_products(narrow):
    """Where hardly any of a layer's products is negative, z − z⁺ is all rounding."""
    net = Net(x=(8, 6, 6))
    h = net.relu("x")
    for _ in range(4):
        h = net.relu(net.conv(h, 8, bias=False, **narrow))
    for name, weight in net.constants.items():
        if weight.ndim == 4:
            few = np.abs(weight) < np.quantile(np.abs(weight), 0.2)
            net.constants[name] = np.where(few, -1e-3, 1) * np.abs(weight)
    net.output(net.head(h))
    check(net, ("epsilon_alpha2_beta1", {}), net.feeds())
