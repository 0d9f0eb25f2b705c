"""The steps between layers, one small network each: sums, products, shapes, resizes, and what is or is not a bias."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from tests.oracle.compare import Explained, check_against_oracle
from tests.oracle.composites import composite
from tests.oracle.net import Net, Step

COMPOSITES = ["epsilon", "epsilon_plus", "lrp0", "attn_lrp", "epsilon_alpha2_beta1_flat"]


def base(seed: int = 40) -> tuple[Net, str]:
    net = Net(seed, x=(4, 6, 5))
    return net, net.relu(net.conv("x", 4, pads=[1, 1, 1, 1]))


def end(net: Net, h: str) -> Net:
    return net.output(net.head(net.relu(net.conv(h, 4, 2)))) if net.rank(h) == 2 else net.output(net.gemm(h, 4))


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


# each takes the network and a value [N, 4, 6, 5], and gives a value to go on with


def three_summands(net, h):
    return net.sum(h, net.conv(h, 4, 1), net.conv(h, 4, 1), op="Sum")


def mean_of_branches(net, h):
    return net.sum(h, net.conv(h, 4, 1), net.conv(h, 4, 1), op="Mean")


def difference(net, h):
    return net.sum(net.conv(h, 4, 1), h, op="Sub")


def a_value_and_itself(net, h):
    return net.sum(h, h)


def broadcast_sum(net, h):
    return net.sum(net.conv(h, 4, 1), net.global_average(h))


def broadcast_from_lower_rank(net, h):
    row = net.add_step("norm", "ReduceMean", [h], [ints(1)], keepdims=0)
    return net.sum(h, net.add_step("route", "Unsqueeze", [row], [ints(1)]))


def constant_inside(net, h):
    """No bias: it varies over more than the channels, or a nonlinearity comes between."""
    return net.add_step("shift", "Add", [net.relu(net.conv(h, 4, 1))], [net.rng.normal(size=(4, 1, 1))])


def position_table(net, h):
    return net.add_step("shift", "Add", [net.conv(h, 4, 1, bias=False)], [net.rng.normal(size=(1, 4, 6, 5))])


def subtracted_constant(net, h):
    return net.add_step("shift", "Sub", [h], [net.rng.normal(size=(4, 1, 1))], front=True)


def constant_factors(net, h):
    h = net.add_step("scale", "Mul", [net.conv(h, 4, 1)], [net.rng.normal(size=(4, 1, 1))])
    h = net.add_step("scale", "Div", [h], [np.array(-0.7)])
    return net.add_step("scale", "Neg", [h])


def squeeze_and_excite(net, h):
    """The gate, behind a sigmoid, gets nothing (AttnLRP: half)."""
    gate = net.relu(net.conv(net.global_average(h), 2, 1))
    gate = net.activation(net.conv(gate, 4, 1), "Sigmoid")
    return net.add_step("product", "Mul", [h, gate])


def shuffled(net, h):
    """Channel shuffle: Reshape, Transpose, Reshape."""
    h = net.add_step("route", "Reshape", [h], [ints(0, 2, 2, 6, 5)])
    h = net.add_step("route", "Transpose", [h], perm=[0, 2, 1, 3, 4])
    return net.add_step("route", "Reshape", [h], [ints(0, 4, 6, 5)])


def sliced(net, h):
    a = net.add_step("route", "Slice", [h], [ints(0, 4), ints(2, 0), ints(1, 3), ints(1, -2)])
    b = net.add_step("route", "Slice", [h], [ints(1), ints(100), ints(3), ints(2)])
    return net.concat(a, net.add_step("route", "Slice", [b], [ints(-3), ints(-1), ints(1)]))


def gathered(net, h):
    return net.add_step("route", "Gather", [h], [ints(3, 0, 0, -1, 2)], axis=1)


def reflected(net, h):
    return net.add_step("route", "Pad", [h], [ints(0, 0, 1, 2, 0, 0, 0, 1)], mode="reflect")


def cropped(net, h):
    return net.add_step("route", "Pad", [h], [ints(0, 0, -1, 2, 0, 0, 1, -2)])


def padded_with_a_constant(net, h):
    h = net.add_step("route", "Pad", [h], [ints(0, 1, 0, 0, 0, 0, 0, 0), np.array(0.5)])
    return net.relu(net.conv(h, 4, 1))


def tiled(net, h):
    return net.add_step("route", "Tile", [h], [ints(1, 2, 1, 2)])


def expanded(net, h):
    return net.add_step("route", "Expand", [net.global_average(h)], [ints(1, 1, 3, 2)])


def space_and_depth(net, h):
    h = net.add_step("route", "Pad", [h], [ints(0, 0, 0, 0, 0, 0, 0, 1)])
    return net.add_step("route", "SpaceToDepth", [h], blocksize=2)


def depth_to_space(net, h):
    return net.add_step("route", "DepthToSpace", [h], blocksize=2, mode="CRD")


def masked(net, h):
    """Where with the data in the middle: what `add_step` cannot write."""
    names = [net.constant(net.rng.random(size=(1, 4, 6, 5)) > 0.4), h, net.constant(np.array(0.0))]
    return net.add(Step("route", [helper.make_node("Where", names, ["masked"], name="/Where")], [h], "masked"))


def upsampled_linear(net, h):
    scales = np.array([1, 1, 2, 2], np.float32)
    return net.add_step(
        "norm", "Resize", [h], [None, scales], mode="linear", coordinate_transformation_mode="half_pixel"
    )


def upsampled_nearest(net, h):
    scales = np.array([1, 1, 2, 2], np.float32)
    return net.add_step(
        "route",
        "Resize",
        [h],
        [None, scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def last_window_in_the_padding(net, h):
    """With `ceil_mode`, a window that would start there does not exist, though onnx's shape inference counts it."""
    h = net.max_pool(h, 2, strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    return net.average_pool(h, 2, strides=[1, 3], pads=[0, 1, 0, 1], ceil_mode=1, count_include_pad=1)


def reduced_mean(net, h):
    return net.add_step("norm", "ReduceMean", [h], [ints(2, 3)], keepdims=0)


def reduced_sum(net, h):
    return net.add_step("norm", "ReduceSum", [h], [ints(1)], keepdims=1)


def normalised_over_channels(net, h):
    return net.add_step("pass", "LRN", [h], size=3, alpha=0.5, beta=0.75, bias=2.0)


def batch_norm_alone(net, h):
    return net.relu(net.batch_norm(net.max_pool(h, 2)))


def batch_norm_of_a_shared_value(net, h):
    """The convolution has another consumer, so its batch norm stays outside."""
    h = net.conv(h, 4, 1)
    return net.sum(net.batch_norm(h), h)


def activations_on_the_way(net, h):
    h = net.add_step("pass", "Clip", [net.conv(h, 4, 1)], [np.array(-0.5), np.array(0.75)])
    h = net.add_step("pass", "HardSwish", [net.conv(h, 4, 1)])
    h = net.add_step("pass", "PRelu", [net.conv(h, 4, 1)], [np.array([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1)])
    h = net.add_step("pass", "Erf", [net.conv(h, 4, 1)])
    return net.add_step("pass", "Cos", [net.conv(h, 4, 1)], derivative=lambda z: -np.sin(z))


STEPS = {
    make.__name__: make
    for make in (
        three_summands,
        mean_of_branches,
        difference,
        a_value_and_itself,
        broadcast_sum,
        broadcast_from_lower_rank,
        constant_inside,
        position_table,
        subtracted_constant,
        constant_factors,
        squeeze_and_excite,
        shuffled,
        sliced,
        gathered,
        reflected,
        cropped,
        padded_with_a_constant,
        tiled,
        expanded,
        space_and_depth,
        depth_to_space,
        masked,
        upsampled_linear,
        upsampled_nearest,
        last_window_in_the_padding,
        reduced_mean,
        reduced_sum,
        normalised_over_channels,
        batch_norm_alone,
        batch_norm_of_a_shared_value,
        activations_on_the_way,
    )
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", COMPOSITES)
def test_steps(step, name):
    net, h = base()
    end(net, STEPS[step](net, h))
    check_against_oracle(net, {"composite": name}, {"composite": composite(name)})


# for these the oracle has no derivative, but test_gradient has finite differences
UNDERIVED = ("squeeze_and_excite", "normalised_over_channels", "activations_on_the_way")


@pytest.mark.parametrize("step", [name for name in STEPS if name not in UNDERIVED])
def test_plain_gradients(step):
    net, h = base()
    end(net, STEPS[step](net, h))
    check_against_oracle(net, {"composite": "gradient"}, {"composite": composite("gradient")})


def test_ties_go_to_the_first():
    """Equal values in a window, and equal operands: the earlier one takes all."""
    net = Net(41, x=(1, 4, 4))
    pooled = net.max_pool("x", 3, strides=[1, 1], pads=[1, 1, 1, 1])
    both = net.add_step("winner", "Max", [pooled, "x"])
    net.output(net.gemm(net.flatten(both), 3))
    feeds = {"x": np.round(net.feeds(batch=3)["x"] * 1.5) / 2}
    assert len(np.unique(feeds["x"])) < 12
    for name in ("epsilon", "gradient"):
        check_against_oracle(net, {"composite": name}, {"composite": composite(name)}, feeds)


@pytest.mark.parametrize("name", ["epsilon_plus", "lrp0"])
def test_a_bias_added_behind_a_convolution_is_its_bias(name):
    """Add of [C, 1, 1] behind a Conv; the same constant with its own consumer elsewhere is an ordinary summand."""
    net = Net(42, x=(3, 6, 5))
    h = net.add_step("bias", "Add", [net.conv("x", 4, bias=False)], [net.weight(4, 1, 1)])
    end(net, net.relu(h))
    check_against_oracle(net, {"composite": name}, {"composite": composite(name)})


def test_excitation_of_several_kinds():
    """`excitation_backprop`: z⁺ on every layer, sums and pools in proportion."""
    net, h = base(45)
    h = net.sum(net.relu(net.conv(h, 4, 1)), h)
    h = net.average_pool(h, 2, strides=[2, 2])
    end(net, h)
    check_against_oracle(net, {"composite": "excitation_backprop"}, {"composite": composite("excitation_backprop")})


def test_relevance_of_an_input_that_is_used_twice():
    """By two first layers and by a sum: the shares add up."""
    net = Net(43, x=(4, 6, 5))
    h = net.sum(net.relu(net.conv("x", 4, 1)), net.relu(net.conv("x", 4, pads=[1, 1, 1, 1])), "x", op="Sum")
    end(net, h)
    for name in ("epsilon_plus", "epsilon_plus_flat", "gradient"):
        check_against_oracle(net, {"composite": name}, {"composite": composite(name)})


def test_zero_everywhere():
    """A picture of zeros: nothing is divided by zero, nothing is not a number."""
    net, h = base()
    end(net, h)
    for name in (*COMPOSITES, "gradient", "auto"):
        ours = Explained(net.model(), composite=name).relevance({"x": np.zeros((2, 4, 6, 5))})["x"]
        assert np.isfinite(ours).all()
