"""The tests' own runner against torch, over the attributes that the exactness tests use."""

from __future__ import annotations

import numpy as np
import pytest

from tests.oracle.onnx_nodes import run_node

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
F = torch.nn.functional

SIZES = [7, 6, 5]
RANKS = [1, 2, 3]


def data(rank: int, channels: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, channels, *SIZES[:rank]))


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


def same(ours: np.ndarray, theirs) -> None:
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-12, atol=1e-12)


def tensor(array: np.ndarray):
    return torch.from_numpy(array)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(
    ("strides", "pads", "dilations"),
    [([1] * 3, [0] * 3, [1] * 3), ([2, 1, 2], [1, 2, 0], [1] * 3), ([1, 2, 1], [2, 1, 1], [2, 1, 2])],
)
def test_convolution(rank, group, strides, pads, dilations):
    x, w, b = data(rank), weights(8, 4 // group, *[3, 2, 3][:rank]), weights(8)
    strides, pads, dilations = strides[:rank], pads[:rank], dilations[:rank]
    ours = run_node("Conv", x, w, b, strides=strides, pads=pads * 2, dilations=dilations, group=group)
    theirs = getattr(F, f"conv{rank}d")(
        tensor(x), tensor(w), tensor(b), stride=strides, padding=pads, dilation=dilations, groups=group
    )
    same(ours, theirs)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize(
    ("strides", "pads", "dilations", "extra"),
    [
        ([1] * 3, [0] * 3, [1] * 3, [0] * 3),
        ([2, 3, 2], [1, 0, 1], [1] * 3, [1, 2, 0]),
        ([2, 1, 1], [1, 2, 1], [1, 2, 1], [0] * 3),
    ],
)
def test_transposed_convolution(rank, group, strides, pads, dilations, extra):
    x, w, b = data(rank), weights(4, 8 // group, *[3, 3, 2][:rank]), weights(8)
    strides, pads, dilations, extra = strides[:rank], pads[:rank], dilations[:rank], extra[:rank]
    ours = run_node(
        "ConvTranspose",
        x,
        w,
        b,
        strides=strides,
        pads=pads * 2,
        dilations=dilations,
        output_padding=extra,
        group=group,
    )
    theirs = getattr(F, f"conv_transpose{rank}d")(
        tensor(x),
        tensor(w),
        tensor(b),
        stride=strides,
        padding=pads,
        dilation=dilations,
        output_padding=extra,
        groups=group,
    )
    same(ours, theirs)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "dilations"),
    [
        ([2] * 3, [2] * 3, [0] * 3, [1] * 3),
        ([3] * 3, [1] * 3, [1] * 3, [1] * 3),
        ([3, 2, 3], [2, 3, 1], [1, 0, 1], [1] * 3),
        ([3, 2, 2], [2, 1, 2], [1, 1, 0], [2, 3, 1]),
    ],
)
def test_max_pool(rank, ceil, kernel, strides, pads, dilations):
    x = data(rank)
    kernel, strides, pads, dilations = kernel[:rank], strides[:rank], pads[:rank], dilations[:rank]
    value, index = run_node(
        "MaxPool",
        x,
        outputs=2,
        kernel_shape=kernel,
        strides=strides,
        pads=pads * 2,
        dilations=dilations,
        ceil_mode=ceil,
    )
    theirs, where = getattr(F, f"max_pool{rank}d")(
        tensor(x), kernel, strides, pads, dilations, ceil_mode=bool(ceil), return_indices=True
    )
    same(value, theirs)
    planes = np.arange(8).reshape(2, 4, *[1] * rank) * np.prod(SIZES[:rank])
    np.testing.assert_array_equal(index, where.numpy() + planes)


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [([2] * 3, [2] * 3, [0] * 3), ([3] * 3, [1] * 3, [1] * 3), ([3, 2, 3], [2, 3, 2], [1, 1, 0])],
)
def test_average_pool(rank, ceil, include, kernel, strides, pads):
    x = data(rank)
    kernel, strides, pads = kernel[:rank], strides[:rank], pads[:rank]
    ours = run_node(
        "AveragePool",
        x,
        kernel_shape=kernel,
        strides=strides,
        pads=pads * 2,
        ceil_mode=ceil,
        count_include_pad=include,
    )
    theirs = getattr(F, f"avg_pool{rank}d")(
        tensor(x), kernel, strides, pads, ceil_mode=bool(ceil), count_include_pad=bool(include)
    )
    same(ours, theirs)


@pytest.mark.parametrize("rank", RANKS)
def test_batch_norm(rank):
    x = data(rank)
    scale, shift, mean, variance = weights(4), weights(4), weights(4), np.abs(weights(4)) + 0.5
    ours = run_node("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-3)
    theirs = F.batch_norm(*map(tensor, (x, mean, variance, scale, shift)), eps=float(np.float32(1e-3)))
    same(ours, theirs)


@pytest.mark.parametrize("size", [3, 5])
def test_local_response_norm(size):
    # odd sizes only: with an even one torch and ONNX place the window differently
    x = data(2, channels=6)
    ours = run_node("LRN", x, size=size, alpha=0.5, beta=0.75, bias=2.0)
    same(ours, F.local_response_norm(tensor(x), size, alpha=0.5, beta=0.75, k=2.0))


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("aligned", [False, True])
def test_linear_resize(rank, aligned):
    x = data(rank)
    sizes = [11, 9, 4][:rank]
    ours = run_node(
        "Resize",
        x,
        None,
        None,
        np.array([*x.shape[:2], *sizes]),
        mode="linear",
        coordinate_transformation_mode="align_corners" if aligned else "half_pixel",
    )
    mode = ["linear", "bilinear", "trilinear"][rank - 1]
    same(ours, F.interpolate(tensor(x), sizes, mode=mode, align_corners=aligned))


@pytest.mark.parametrize("rank", RANKS)
def test_nearest_resize(rank):
    x = data(rank)
    scales = np.array([1, 1, *[2, 3, 2][:rank]], np.float32)
    ours = run_node(
        "Resize",
        x,
        None,
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    same(ours, F.interpolate(tensor(x), scale_factor=tuple(map(float, scales[2:])), mode="nearest"))


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode):
    x = data(2)
    ours = run_node("Pad", x, np.array([0, 0, 1, 2, 0, 0, 3, 1]), mode=mode)
    same(ours, F.pad(tensor(x), (2, 1, 1, 3), mode={"edge": "replicate"}.get(mode, mode)))


def test_negative_pad():
    x = data(2)
    same(run_node("Pad", x, np.array([-1, 2, 0, 1]), None, np.array([2, 3])), F.pad(tensor(x), (2, 1, -1, 0)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scatter_add(axis):
    rng = np.random.default_rng(0)
    x, updates = data(1), data(1, seed=2)[:, :3, :4]
    index = rng.integers(0, x.shape[axis], size=updates.shape)
    ours = run_node("ScatterElements", x, index, updates, axis=axis, reduction="add")
    same(ours, tensor(x).scatter_add(axis, tensor(index), tensor(updates)))


def test_scatter_nd_add():
    x = data(1)[0]
    index = np.array([[1, 2], [1, 2], [3, 0]])
    updates = np.array([1.0, 2.0, 4.0])
    ours = run_node("ScatterND", x, index, updates, reduction="add")
    same(ours, tensor(x).index_put(tuple(tensor(index).T), tensor(updates), accumulate=True))


@pytest.mark.parametrize(
    ("op", "theirs", "attributes"),
    [
        ("Relu", F.relu, {}),
        ("LeakyRelu", lambda x: F.leaky_relu(x, 0.25), {"alpha": 0.25}),
        ("Elu", F.elu, {}),
        ("Selu", F.selu, {}),
        ("Celu", lambda x: F.celu(x, 2.0), {"alpha": 2.0}),
        ("Softplus", F.softplus, {}),
        ("Softsign", F.softsign, {}),
        ("Sigmoid", torch.sigmoid, {}),
        ("Tanh", torch.tanh, {}),
        ("HardSwish", F.hardswish, {}),
        ("Mish", F.mish, {}),
        ("Erf", torch.erf, {}),
        ("Gelu", F.gelu, {}),
        ("Gelu", lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"}),
        ("Softmax", lambda x: F.softmax(x, 1), {"axis": 1}),
        ("LogSoftmax", lambda x: F.log_softmax(x, 1), {"axis": 1}),
        ("GlobalAveragePool", lambda x: x.mean((2, 3), keepdim=True), {}),
        ("GlobalMaxPool", lambda x: x.amax((2, 3), keepdim=True), {}),
    ],
)
def test_elementwise_and_global(op, theirs, attributes):
    x = data(2) * 2
    ours = run_node(op, x, **attributes)
    assert ours.dtype == np.float64
    # attributes such as Selu's and HardSigmoid's are float32 in ONNX
    rounded = op in ("Celu", "Selu", "HardSwish")
    tolerance = 1e-6 if rounded else 1e-12
    np.testing.assert_allclose(ours, theirs(tensor(x)).numpy(), rtol=tolerance, atol=tolerance)
