"""The networks that the exactness tests run: small, random, each with the attributes its name says."""

from __future__ import annotations

from collections.abc import Callable

from tests.oracle.net import Net


def strided() -> Net:
    """Strides, uneven pads, dilations, groups; an overlapping, padded max pool."""
    net = Net(1, x=(2, 9, 8))
    h = net.relu(net.conv("x", 4, strides=[2, 1], pads=[1, 0, 1, 2]))
    h = net.max_pool(h, 3, strides=[1, 2], pads=[1, 1, 1, 1])
    h = net.relu(net.conv(h, 6, 2, group=2, dilations=[2, 1], bias=False))
    return net.output(net.head(h))


def symmetric() -> Net:
    """The same with even pads, as torch knows them."""
    net = Net(2, x=(2, 9, 8))
    h = net.relu(net.conv("x", 4, strides=[2, 1], pads=[1, 1, 1, 1]))
    h = net.max_pool(h, 3, strides=[1, 2], pads=[1, 1, 1, 1])
    h = net.relu(net.conv(h, 6, 2, group=2, dilations=[2, 1], bias=False))
    return net.output(net.head(h))


def depthwise() -> Net:
    """Depthwise and pointwise convolutions, batch norm in all of them, an average pool that counts no padding."""
    net = Net(3, x=(3, 8, 7))
    h = net.relu(net.batch_norm(net.conv("x", 4, strides=[2, 2], pads=[1, 1, 1, 1], bias=False)))
    h = net.relu(net.batch_norm(net.conv(h, 4, group=4, pads=[1, 1, 1, 1])))
    h = net.batch_norm(net.conv(h, 6, 1))
    h = net.average_pool(net.relu(h), 3, strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=0)
    return net.output(net.head(h))


def transposed() -> Net:
    """Transposed convolutions with groups, strides, pads, dilations and output padding, one with batch norm."""
    net = Net(4, x=(2, 4, 3))
    h = net.conv_transpose("x", 4, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0], bias=False)
    h = net.relu(net.batch_norm(h))
    h = net.relu(net.conv_transpose(h, 6, [2, 3], group=2, dilations=[2, 1]))
    return net.output(net.head(net.relu(net.conv(h, 3, strides=[2, 2]))))


def one_dimensional() -> Net:
    """1-D: convolution, batch norm, transposed convolution; pools with ceil mode."""
    net = Net(5, x=(3, 17))
    h = net.relu(net.batch_norm(net.conv("x", 4, 4, strides=[2], pads=[2, 2])))
    h = net.max_pool(h, 2, strides=[2], ceil_mode=1)
    h = net.relu(net.conv_transpose(h, 4, 3, strides=[2], group=2))
    h = net.average_pool(h, 3, strides=[2], pads=[1, 1], ceil_mode=1, count_include_pad=1)
    return net.output(net.gemm(net.flatten(h), 4))


def three_dimensional() -> Net:
    """3-D: grouped, strided and transposed convolutions, both pools."""
    net = Net(6, x=(2, 5, 4, 4))
    h = net.relu(net.conv("x", 4, [3, 2, 2], strides=[2, 1, 1], pads=[1, 0, 1, 1, 0, 1]))
    h = net.max_pool(h, 2, strides=[1, 1, 1])
    h = net.relu(net.conv_transpose(h, 4, 2, group=2, strides=[1, 2, 1]))
    h = net.average_pool(h, 2, strides=[1, 2, 2])
    return net.output(net.head(h))


def residual() -> Net:
    """A residual block with a projection, one with the plain input, one with batch norm that no layer can take in."""
    net = Net(7, x=(3, 8, 8))
    h = net.relu(net.batch_norm(net.conv("x", 4, strides=[2, 2], pads=[1, 1, 1, 1])))
    a = net.batch_norm(net.conv(net.relu(net.conv(h, 4, pads=[1, 1, 1, 1], strides=[2, 2])), 6, 1, bias=False))
    b = net.batch_norm(net.conv(h, 6, 1, strides=[2, 2], bias=False))
    h = net.relu(net.sum(a, b))
    h = net.sum(net.conv(h, 6, pads=[1, 1, 1, 1]), h)
    h = net.conv(net.relu(net.batch_norm(h)), 4, 2)
    return net.output(net.head(h))


def inception() -> Net:
    """Branches with kernels 1 and 3 and an average pool that counts its padding, joined by Concat."""
    net = Net(8, x=(3, 7, 7))
    h = net.relu(net.conv("x", 4, 3, bias=False))
    a = net.relu(net.conv(h, 2, 1))
    b = net.relu(net.conv(net.relu(net.conv(h, 2, 1)), 3, 3, pads=[1, 1, 1, 1]))
    c = net.conv(net.average_pool(h, 3, strides=[1, 1], pads=[1, 1, 1, 1], count_include_pad=1), 2, 1)
    h = net.concat(a, b, c)
    h = net.max_pool(h, 3, strides=[2, 2], ceil_mode=1)
    h = net.relu(net.conv(h, 5, 2))
    return net.output(net.gemm(net.flatten(h), 4))


def perceptron() -> Net:
    """Dense layers only, their weights either way round, biases inside and behind."""
    net = Net(9, x=(6,))
    h = net.relu(net.gemm("x", 7))
    h = net.relu(net.matmul(h, 6))
    h = net.relu(net.gemm(h, 5, bias=False, transposed=False))
    return net.output(net.matmul(h, 4, bias=False))


def mixer() -> Net:
    """MatMul of rank 3 with its constant on either side, batch norm behind a dense layer."""
    net = Net(10, x=(4, 5))
    h = net.relu(net.matmul("x", 6))
    h = net.sum(h, net.relu(net.matmul(h, 4, left=True)))
    h = net.flatten(net.relu(net.matmul(h, 3, bias=False)))
    h = net.relu(net.batch_norm(net.gemm(h, 5)))
    return net.output(net.gemm(h, 4))


def smooth() -> Net:
    """Activations that are no ReLU, so that layers see inputs of both signs; Max and Sub of data."""
    net = Net(11, x=(2, 7, 6))
    h = net.activation(net.conv("x", 4, pads=[1, 1, 1, 1]), "Tanh")
    h = net.sum(net.activation(net.conv(h, 4, 1), "LeakyRelu"), net.activation(net.conv(h, 4, 1), "Elu"), op="Sub")
    h = net.silu(net.conv(h, 4, 3, bias=False))
    h = net.add_step("winner", "Max", [h, net.conv(h, 4, 1)])
    h = net.activation(net.gemm(net.flatten(net.add_step("winner", "GlobalMaxPool", [h])), 6), "Softplus")
    return net.output(net.gemm(h, 4))


def clipped() -> Net:
    """Clips that do what a ReLU does below 0 and that do not, behind layers and sums, one behind a ReLU."""
    net = Net(13, x=(2, 6, 6))
    h = net.clip(net.conv("x", 4, pads=[1, 1, 1, 1]), 0.0, 2.0)
    a = net.clip(net.conv(h, 4, group=4, strides=[2, 2], pads=[1, 1, 1, 1]), 0.0, 1.5)
    h = net.clip(net.sum(net.conv(a, 4, 1), net.clip(a, 0.0, None)), 0.0, 2.0)
    h = net.clip(net.conv(h, 4, 1), -0.5, 1.0)
    h = net.clip(net.relu(net.conv(h, 5, 2)), 0.0, 2.0)
    return net.output(net.head(h))


def auto_padded() -> Net:
    """Every `auto_pad`, on convolutions, (grouped) transposed convolutions and both pools."""
    net = Net(12, x=(2, 9, 8))
    h = net.relu(net.conv("x", 3, strides=[2, 1], auto_pad="SAME_UPPER"))
    h = net.relu(net.conv(h, 4, [2, 4], auto_pad="SAME_LOWER"))
    h = net.max_pool(h, 2, strides=[1, 2], auto_pad="SAME_LOWER")
    h = net.relu(net.conv(h, 3, 2, auto_pad="VALID"))
    h = net.relu(net.batch_norm(net.conv_transpose(h, 6, group=3, strides=[2, 2], auto_pad="SAME_UPPER")))
    h = net.relu(net.conv_transpose(h, 3, 2, strides=[2, 2], auto_pad="SAME_LOWER"))
    h = net.average_pool(h, 3, strides=[3, 3], auto_pad="SAME_UPPER", count_include_pad=1)
    return net.output(net.head(h))


NETS: dict[str, Callable[[], Net]] = {
    make.__name__: make
    for make in (
        strided,
        symmetric,
        depthwise,
        transposed,
        one_dimensional,
        three_dimensional,
        residual,
        inception,
        perceptron,
        mixer,
        smooth,
        clipped,
        auto_padded,
    )
}
