"""Preprocessing in the graph leaves the explanation what it is without it; and the oracle agrees on both."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.oracle.compare import TOLERANCE, Explained, check_against_oracle, error
from tests.oracle.composites import composite, of_package
from tests.oracle.net import Net

MEAN, STD = np.array([0.3, -0.2, 0.1]), np.array([0.5, 0.25, 2.0])
BOX = {"low": 0.0, "high": 255.0}
COMPOSITES = [
    ("epsilon", {}),
    ("epsilon_plus", {}),
    ("epsilon_plus_flat", {}),
    ("epsilon_alpha2_beta1_flat", {}),
    ("epsilon_gamma_box", BOX),
    ("deep_taylor", {}),
    ("deep_taylor", BOX),
    ("lrp0", {}),
    ("auto", {}),
]


def channels(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, 1, 1)


def trunk(net: Net, h: str, pads: list[int] | None = None) -> Net:
    h = net.relu(net.conv(h, 4, strides=[2, 1], pads=pads or [1, 1, 1, 1]))
    h = net.relu(net.batch_norm(net.conv(h, 4, 2, bias=False)))
    return net.output(net.head(h))


def scaled(way: str) -> Net:
    """(x / 255 − mean) / std, in the forms exporters write it."""
    net = Net(30, x=(3, 7, 6))
    if way == "sub-div":
        h = net.add_step("scale", "Div", ["x"], [np.array(255.0)])
        h = net.add_step("shift", "Sub", [h], [channels(MEAN)])
        h = net.add_step("scale", "Div", [h], [channels(STD)])
    elif way == "add-mul":
        h = net.add_step("scale", "Mul", ["x"], [1 / 255 / channels(STD)], front=True)
        h = net.add_step("shift", "Add", [h], [-channels(MEAN / STD)], front=True)
    elif way == "negative":
        # a negative scale swaps the bounds of a box
        h = net.add_step("shift", "Sub", ["x"], [np.array(100.0)], front=True)
        h = net.add_step("scale", "Mul", [h], [np.array(1 / 64)])
    else:
        net.rng = np.random.default_rng(31)
        h = net.batch_norm(net.add_step("scale", "Div", ["x"], [np.array(127.0)]))
    net.rng = np.random.default_rng(30)
    return trunk(net, h)


def pixels(net: Net, batch: int = 2) -> dict[str, np.ndarray]:
    return net.feeds(batch, low=0.0, high=255.0)


@pytest.mark.parametrize("way", ["sub-div", "add-mul", "negative", "batch norm"])
@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_normalisation(way, case):
    name, params = case
    net = scaled(way)
    feeds = pixels(net)
    options = {"composite": of_package(name, **params)}
    explained = check_against_oracle(net, options, {"composite": composite(name, **params)}, feeds)
    ours = explained.relevance(feeds)["x"]
    # the same network on pictures that are normalised already
    plain = Net(30, x=(3, 7, 6))
    plain.rng = np.random.default_rng(30)
    trunk(plain, "x")
    before = next(i for i, step in enumerate(net.steps) if step.op == "Conv")
    values = feeds["x"]
    for step in net.steps[:before]:
        values = net.run_step(step, {step.inputs[0]: values})
    if params:
        ends = [np.broadcast_to(params[k], (1, 3, 7, 6)) for k in ("low", "high")]
        for step in net.steps[:before]:
            ends = [net.run_step(step, {step.inputs[0]: np.array(end)}) for end in ends]
        low, high = np.minimum(*ends)[0], np.maximum(*ends)[0]
        options = {"composite": of_package(name, low=low, high=high)}
    without = Explained(plain.model(), **options).relevance({"x": values})["x"]
    assert error(ours, without) <= TOLERANCE


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_pictures_of_one_channel_spread_over_three(case):
    """(grey − mean[3]) / std[3]: the broadcast adds up."""
    name, params = case
    net = Net(32, x=(1, 7, 6))
    h = net.add_step("shift", "Sub", ["x"], [channels(MEAN)])
    trunk(net, net.add_step("scale", "Div", [h], [channels(STD)]))
    options = {"composite": of_package(name, **params)}
    check_against_oracle(net, options, {"composite": composite(name, **params)}, pixels(net))


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_zero_padding_of_its_own_is_the_padding_of_the_convolution(case):
    name, params = case
    net = Net(33, x=(3, 7, 6))
    padded = net.add_step("pad", "Pad", ["x"], [np.array([0, 0, 1, 2, 0, 0, 0, 1])])
    net.rng = np.random.default_rng(33)
    trunk(net, padded, pads=[0, 0, 1, 0])
    plain = Net(33, x=(3, 7, 6))
    plain.rng = np.random.default_rng(33)
    trunk(plain, "x", pads=[1, 2, 1, 1])
    feeds = pixels(net)
    options = {"composite": of_package(name, **params)}
    explained = check_against_oracle(net, options, {"composite": composite(name, **params)}, feeds)
    without = Explained(plain.model(), **options).relevance(feeds)["x"]
    assert error(explained.relevance(feeds)["x"], without) <= TOLERANCE


@pytest.mark.parametrize("name", ["epsilon_plus_flat", "deep_taylor"])
def test_two_paddings_of_their_own(name):
    net = Net(33, x=(3, 7, 6))
    padded = net.add_step("pad", "Pad", ["x"], [np.array([0, 0, 1, 0, 0, 0, 0, 1])])
    trunk(net, net.add_step("pad", "Pad", [padded], [np.array([0, 0, 0, 2, 0, 0, 1, 0])]), pads=[0, 0, 0, 0])
    check_against_oracle(net, {"composite": name}, {"composite": composite(name)})


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_resize_before_the_first_layer(case, mode):
    name, params = case
    net = Net(34, x=(3, 4, 5))
    h = net.add_step("scale", "Div", ["x"], [np.array(255.0)])
    scales = np.array([1, 1, 2, 2], np.float32)
    kind = "norm" if mode == "linear" else "route"
    h = net.add_step(kind, "Resize", [h], [None, scales], mode=mode)
    trunk(net, h)
    options = {"composite": of_package(name, **params)}
    check_against_oracle(net, options, {"composite": composite(name, **params)}, pixels(net))


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_average_pool_and_sum_before_the_first_layer(case):
    """Under Flat, WSquare and ZBox they are Flat too."""
    name, params = case
    net = Net(35, x=(3, 9, 8))
    h = net.add_step("scale", "Div", ["x"], [np.array(255.0)])
    h = net.sum(net.average_pool(h, 2), net.add_step("norm", "AveragePool", [h], kernel_shape=[2, 2]))
    trunk(net, h)
    options = {"composite": of_package(name, **params)}
    check_against_oracle(net, options, {"composite": composite(name, **params)}, pixels(net))


def cast_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model on a uint8 picture."""
    source = model.graph.input[0]
    for node in model.graph.node:
        node.input[:] = ["pixels" if name == source.name else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Cast", [source.name], ["pixels"], to=TensorProto.DOUBLE))
    source.type.tensor_type.elem_type = TensorProto.UINT8
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_cast_from_integers(case):
    name, params = case
    net = scaled("sub-div")
    feeds = {"x": pixels(net)["x"].astype(np.uint8)}
    options = {"composite": of_package(name, **params)}
    cast = Explained(cast_first(net.model()), **options).relevance(feeds)["x"]
    plain = Explained(net.model(), **options).relevance({"x": feeds["x"].astype(np.float64)})["x"]
    assert cast.dtype == np.float64
    assert error(cast, plain) <= 1e-12


@pytest.mark.parametrize("name", ["epsilon_plus", "epsilon_plus_flat", "epsilon"])
def test_channels_last_pictures(name):
    """A Transpose upstream of the first layer, as TensorFlow writes it: relevance moves back with the values."""
    net = Net(36, x=(7, 6, 3))
    trunk(net, net.add_step("route", "Transpose", ["x"], perm=[0, 3, 1, 2]))
    check_against_oracle(net, {"composite": name}, {"composite": composite(name)})
