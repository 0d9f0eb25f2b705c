"""`gradient` against central finite differences: no oracle, so any operator can be in the network."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.oracle.compare import Explained, error
from tests.oracle.reference import Runner
from tests.oracle.zoo import NETS

STEP = 1e-6

# one line per network; x is [N, 6], i is [N, 2, 6, 5]
EXPRESSIONS = {
    "product of data": "a = MatMul(x, w6)  b = Sigmoid(x)  y = Mul(a, b)",
    "a value times itself": "a = MatMul(x, w6)  y = Mul(a, a)",
    "quotient of data": "a = MatMul(x, w6)  b = Exp(x)  y = Div(a, b)",
    "constant over data": "a = Exp(x)  y = Div(row6, a)",
    "reciprocal": "a = Softplus(x)  y = Reciprocal(a)",
    "powers": "a = Softplus(x)  b = Pow(a, three)  c = Pow(a, minus_half)  y = Sub(b, c)",
    "softmax": "a = MatMul(x, w6)  y = Softmax<axis=1>(a)",
    "log-softmax": "a = MatMul(x, w6)  y = LogSoftmax<axis=-1>(a)",
    "softmax inside": "a = MatMul(x, w6)  b = Softmax<axis=1>(a)  y = MatMul(b, w4)",
    "sigmoid at the end": "a = MatMul(x, w6)  y = Sigmoid(a)",
    "broadcast product": "a = ReduceMean<keepdims=1>(x, one)  y = Mul(x, a)",
    "broadcast sum": "a = ReduceSum<keepdims=1>(x, one)  b = Mul(x, x)  y = Add(a, b)",
    "maxima": (
        "a = MatMul(x, w6)  "
        "b = Max(x, a, row6)  "
        "c = ReduceMax<keepdims=0>(a, one)  "
        "d = Unsqueeze(c, one)  "
        "y = Add(b, d)"
    ),
    "minima": "a = MatMul(x, w6)  b = Min(a, x)  c = ReduceMin<keepdims=1>(x, one)  y = Mul(b, c)",
    "mean and sum": "a = MatMul(x, w6)  b = Mean(a, x)  y = Sum(a, b, x)",
    "clip": "a = MatMul(x, w6)  y = Clip(a, minus_half, half)",
    "where": "a = MatMul(x, w6)  c = Greater(a, x)  y = Where(c, a, x)",
    "top": "a = MatMul(x, w6)  t, i = TopK<axis=1>(a, two)  y = MatMul(t, w2)",
    "norms": "a = ReduceL2<keepdims=1>(x, one)  b = Div(x, a)  y = MatMul(b, w6)",
    "slices": (
        "a = Slice(x, one, five, one)  "
        "b = Slice(x, five, one, one, minus_two)  "
        "c = Concat<axis=1>(a, b, x)  "
        "y = MatMul(c, w12)"
    ),
    "split": "a, b = Split<axis=1, num_outputs=2>(x)  y = Mul(a, b)",
    "gather": "a = Gather<axis=1>(x, picks)  b = Mul(a, a)  y = MatMul(b, w4x4)",
    "transposed expand": (
        "a = Unsqueeze(x, one)  "
        "b = Expand(a, tiles)  "
        "c = Transpose<perm=[0, 2, 1]>(b)  "
        "d = ReduceSumSquare<keepdims=0>(c, two)  "
        "y = MatMul(d, w6)"
    ),
    "tile and pad": 'a = Tile(x, repeats)  b = Pad<mode="reflect">(a, pads)  c = Mul(b, b)  y = MatMul(c, w14)',
    "logarithms": "a = Softplus(x)  b = Log(a)  c = Sqrt(a)  y = Mul(b, c)",
    "waves": "a = Sin(x)  b = Cos(x)  c = Mul(a, b)  y = Add(c, a)",
    "rounding stops": "a = Floor(x)  b = Mul(a, x)  y = MatMul(b, w6)",
    "absolute and negative": "a = Abs(x)  b = Neg(x)  y = Mul(a, b)",
    "two sums": "a = Gemm<alpha=0.5, beta=2.0, transA=0, transB=1>(x, w6, row6)  y = Tanh(a)",
}
ACTIVATIONS = [
    "Elu<alpha=0.5>",
    "Erf",
    "Gelu",
    'Gelu<approximate="tanh">',
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu<alpha=0.2>",
    "Mish",
    "Relu",
    "Selu",
    "Shrink<bias=0.25, lambd=0.5>",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "ThresholdedRelu<alpha=0.3>",
]
# [N, 2, 6, 5] -> [N, 2·something]
IMAGES = {
    "lrn": "a = LRN<size=3, alpha=0.5, beta=0.75, bias=2.0>(i)  b = Mul(a, a)  y = ReduceSum<keepdims=0>(b, space)",
    "linear resize": 'a = Resize<mode="linear">(i, , scales)  b = Mul(a, a)  y = ReduceSum<keepdims=0>(b, space)',
    "nearest resize": 'a = Resize<mode="nearest">(i, , scales)  b = Mul(a, a)  y = ReduceSum<keepdims=0>(b, space)',
    "depth to space": "a = SpaceToDepth<blocksize=1>(i)  b = Tanh(a)  y = ReduceMean<keepdims=0>(b, space)",
    "prelu": "a = PRelu(i, slope)  y = ReduceSumSquare<keepdims=0>(a, space)",
    "batch norm": "a = BatchNormalization(i, s2, s2, s2, s2)  b = Tanh(a)  y = ReduceMean<keepdims=0>(b, space)",
    "global pools": "a = GlobalMaxPool(i)  b = GlobalAveragePool(i)  c = Mul(a, b)  y = Flatten(c)",
    "pools": (
        "a = MaxPool<kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]>(i)  "
        "b = AveragePool<kernel_shape=[2, 2], ceil_mode=1, strides=[2, 2]>(i)  "
        "c = ReduceMax<keepdims=0>(a, space)  "
        "d = ReduceL1<keepdims=0>(b, space)  "
        "y = Mul(c, d)"
    ),
    "squeeze and excite": (
        "a = GlobalAveragePool(i)  "
        "b = Conv(a, k1)  "
        "c = HardSigmoid(b)  "
        "d = Mul(i, c)  "
        "e = Tanh(d)  "
        "y = ReduceSum<keepdims=0>(e, space)"
    ),
}


def _constants() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"w6": (6, 6), "w4": (6, 4), "w2": (2, 3), "w12": (12, 3), "w14": (14, 3)}
    shapes |= {"w4x4": (4, 4), "row6": (6,), "k1": (2, 2, 1, 1)}
    weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return weights | {
        "s2": np.array([0.5, 1.5]),
        "slope": np.array([[[0.25]], [[0.5]]]),
        "three": np.array(3.0),
        "half": np.array(0.5),
        "minus_half": np.array(-0.5),
        "one": np.array([1]),
        "two": np.array([2]),
        "five": np.array([5]),
        "minus_two": np.array([-2]),
        "space": np.array([2, 3]),
        "picks": np.array([5, 0, 0, 3]),
        "tiles": np.array([1, 4, 1]),
        "repeats": np.array([1, 2]),
        "pads": np.array([0, 1, 0, 1]),
        "scales": np.array([1, 1, 2, 1.5], np.float32),
    }


def _model(text: str, **inputs: list) -> onnx.ModelProto:
    types = {name: f"double[{', '.join(map(str, shape))}] {name}" for name, shape in inputs.items()}
    body = text.replace("  ", "\n")
    head = f'<ir_version: 10, opset_import: ["" : 21]> net ({", ".join(types.values())}) => (double[N, C] y)'
    model = onnx.parser.parse_model(f"{head} {{ {body} }}")
    used = {name for node in model.graph.node for name in node.input}
    for name, value in _constants().items():
        if name in used:
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(model)
    return model


def _differences(model: onnx.ModelProto, name: str, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """d(Σ weights · y)/dx, all cells of a sample in one batch."""
    run = Runner(model)
    output = model.graph.output[0].name
    size = x[0].size
    steps = STEP * np.eye(size).reshape(size, *x.shape[1:])
    rows = []
    for sample, w in zip(x, weights, strict=True):
        ahead, behind = (run({name: sample + sign * steps})[output].reshape(size, -1) for sign in (1, -1))
        rows.append(((ahead - behind) @ w / (2 * STEP)).reshape(x.shape[1:]))
    return np.stack(rows)


def _check(model: onnx.ModelProto, name: str, x: np.ndarray, tolerance: float = 1e-7) -> None:
    """One class, and a random weighting of all outputs."""
    y = Runner(model)({name: x})[model.graph.output[0].name]
    chosen = np.eye(y.shape[1])[y.argmax(1)]
    ours = Explained(model, composite="gradient").relevance({name: x})[name]
    assert error(ours, _differences(model, name, x, chosen)) <= tolerance
    weights = np.random.default_rng(5).normal(size=y.shape)
    weighted = Explained(model, composite="gradient", target="weights")
    ours = weighted.relevance({name: x}, weights=weights)[name]
    assert error(ours, _differences(model, name, x, weights)) <= tolerance


@pytest.mark.parametrize("net", NETS)
def test_networks(net):
    network = NETS[net]()
    _check(network.model(), "x", network.feeds()["x"])


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression):
    x = np.random.default_rng(1).normal(size=(3, 6)) + 0.1
    _check(_model(EXPRESSIONS[expression], x=["N", 6]), "x", x)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(activation):
    op, _, attributes = activation.partition("<")
    text = f"a = MatMul(x, w6)  b = {op}{'<' + attributes if attributes else ''}(a)  y = MatMul(b, w4)"
    x = np.random.default_rng(2).normal(size=(3, 6))
    _check(_model(text, x=["N", 6]), "x", x)


@pytest.mark.parametrize("expression", IMAGES)
def test_image_expressions(expression):
    x = np.random.default_rng(3).normal(size=(2, 2, 6, 5))
    _check(_model(IMAGES[expression], i=["N", 2, 6, 5]), "i", x)
