"""The conservation ledger in float64: it closes at every step and in all, on every network and composite."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from tests.oracle.compare import Explained, error
from tests.oracle.composites import composite, of_package
from tests.oracle.engine import LAYERS, Oracle
from tests.oracle.net import Net
from tests.oracle.rules import Layer, Rule, clamping, minus, plus, stabilise
from tests.oracle.zoo import NETS

BOX = {"low": -3.0, "high": 3.0}
COMPOSITES = [
    ("lrp0", {}),
    ("epsilon", {"epsilon": 0.1}),
    ("epsilon_gamma_box", BOX),
    ("epsilon_plus_flat", {}),
    ("epsilon_alpha2_beta1", {}),
    ("deep_taylor", {}),
    ("excitation_backprop", {}),
]
CLOSES = 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", COMPOSITES, ids=str)
def test_the_ledger_closes(net, case):
    name, params = case
    network = NETS[net]()
    feeds = network.feeds(batch=3, low=-3.0, high=3.0)
    explained = Explained(network.model(), composite=of_package(name, **params), ledger=True)
    outputs = explained.run(feeds)
    table = outputs[explained.interface.ledger].astype(np.float64)
    steps, marked = explained.interface.steps, explained.interface.marked
    assert table.shape == (len(steps), 5) == (len(marked), 5)
    arrives, passed, bias, epsilon, stopped = table.T
    size = np.abs(table).sum(1).max()
    open_steps = [
        f"{step}: {gap:.1e}"
        for step, gap in zip(steps, np.abs(arrives - passed - bias - epsilon - stopped), strict=True)
        if gap > CLOSES * size
    ]
    assert not open_steps
    truth = Oracle(network, feeds, composite(name, **params))
    scores = truth.values[network.outputs[0]].max(1)
    seeds = np.maximum(scores, 0).sum() if name == "deep_taylor" else scores.sum()
    arrived = outputs[explained.interface.relevance["x"]]
    assert error(arrived, truth.explain()["x"]) <= 1e-8
    assert abs(seeds - arrived.sum() - (bias + epsilon + stopped).sum()) <= CLOSES * size
    # and no network here has a step that does not conserve
    assert not any(marked)


@pytest.mark.parametrize("net", ["strided", "three_dimensional"])
def test_nothing_is_lost_without_bias_and_epsilon(net):
    """LRP-0 without bias: what leaves the output arrives at the input."""
    network = NETS[net]()
    feeds = network.feeds()
    layers = [
        (op, Rule("LRP0", zero_params="bias").of_package())
        for op in sorted({step.op for step in network.steps if step.kind in LAYERS})
    ]
    arrived = Explained(network.model(), composite="lrp0", rules=layers).relevance(feeds)["x"]
    scores = Oracle(network, feeds, composite("lrp0")).values[network.outputs[0]].max(1)
    np.testing.assert_allclose(arrived.reshape(2, -1).sum(1), scores, rtol=1e-9)


DENOMINATORS = {
    "Epsilon": lambda A, b, x: [(1.0, A @ x + b)],
    "ZPlus": lambda A, b, x: [(1.0, plus(A) @ plus(x) + minus(A) @ minus(x) + plus(b))],
    "AlphaBeta": lambda A, b, x: [
        (2.0, plus(A) @ plus(x) + minus(A) @ minus(x) + plus(b)),
        (-1.0, minus(A) @ plus(x) + plus(A) @ minus(x) + minus(b)),
    ],
    "WSquare": lambda A, b, x: [(1.0, (A**2).sum(1) + b**2)],
    "Flat": lambda A, b, x: [(1.0, np.full(len(b), float(A.shape[1])))],
}
BIASES = {
    "Epsilon": lambda b: [b],
    "ZPlus": lambda b: [plus(b)],
    "AlphaBeta": lambda b: [plus(b), minus(b)],
    "WSquare": lambda b: [b**2],
    "Flat": lambda b: [0 * b],
}


@pytest.mark.parametrize("stabiliser", ["add", "clamp"])
@pytest.mark.parametrize("name", DENOMINATORS)
def test_each_column_of_one_layer(name, stabiliser):
    """Bias and ε by their formulas, so that the one cannot stand in for the other."""
    rule = Rule(name, epsilon=0.7 if stabiliser == "clamp" else 0.1, stabiliser=stabiliser)
    network = Net(60, x=(6,))
    network.output(network.gemm("x", 4))
    feeds = network.feeds(batch=3)
    options = {"composite": "epsilon", "rules": [("Gemm", rule.of_package())], "ledger": True}
    explained = Explained(network.model(), **options)
    outputs = explained.run(feeds, target=[1])
    table = outputs[explained.interface.ledger].astype(np.float64).sum(0)
    A, b = (network.constants[key] for key in network.steps[0].nodes[0].input[1:])
    expected = np.zeros(5)
    for x in feeds["x"]:
        r = np.zeros(4)
        r[1] = (A @ x + b)[1]
        arrived = rule(Layer(A, b), x, r)
        shares = zip(DENOMINATORS[name](A, b, x), BIASES[name](b), strict=True)
        with clamping(stabiliser):
            columns = [(k * r / stabilise(d, rule.params["epsilon"]), d, part, k) for (k, d), part in shares]
        bias = sum((s * part).sum() for s, _, part, _ in columns)
        epsilon = sum((k * r - s * d).sum() for s, d, _, k in columns)
        expected += [r.sum(), arrived.sum(), bias, epsilon, 0]
    np.testing.assert_allclose(table, expected, rtol=1e-9, atol=1e-9)


MASKED = """<ir_version: 10, opset_import: ["" : 21]>
main (float[N, 3, 4] x, bool[N, 1, 3] seen) => (float[N, 4] y)
<float low = {-3e38}, float zero = {0}, float one = {1}, int64[1] middle = {1}> {
    turned = Transpose <perm: ints = [0, 2, 1]> (x) products = MatMul (x, turned) HIDDEN
    shares = Softmax (scores) context = MatMul (shares, x) y = ReduceSum <keepdims: int = 0> (context, middle)
}"""
HIDDEN = {
    "hidden twice": """mask = Where (seen, zero, low) once = Add (products, mask) twice = Add (once, mask)
        scores = Add (twice, products)""",
    "filled in, then shifted by data": """infinite = Add (low, low) filled = Where (seen, products, infinite)
        scores = Add (filled, products)""",
    "through a slope and a shape": """infinite = Add (low, low) mask = Where (seen, zero, infinite)
        once = Add (products, mask) shape = Shape (once) flat = Flatten (once) sloped = LeakyRelu (flat)
        scores = Reshape (sloped, shape)""",
}


@pytest.mark.parametrize("composite", ["attn_lrp", "epsilon"])
@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("name", HIDDEN)
def test_scores_of_minus_infinity_are_counted_as_nothing(name, composite):
    """Where a mask hides a score, its factor is 0, and 0 · ∞ is no number."""
    source = onnx.parser.parse_model(MASKED.replace("HIDDEN", HIDDEN[name]))
    seen = np.array([[[True, True, True]], [[True, False, False]]])
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    explained = onnxlrp.convert(source, composite, ledger=True)
    explanation = onnxlrp.Explainer(explained)({"x": x, "seen": seen})
    assert explanation.relevance["x"].any()
    assert explanation.ledger.gaps.max() <= 1e-5 * np.abs(explanation.ledger.values).max()  # not NaN either


PADDED = """<ir_version: 10, opset_import: ["" : 21]>
main (float[N, 2, 4] x) => (float[N, 2] y)
<float edge = {0}, int64[6] pads = {0, 0, 1, 0, 0, 1}, int64[1] last = {2}> {
    wide = Pad (x, pads, edge)
    highest = MaxPool <kernel_shape: ints = [2], strides: ints = [2], ceil_mode: int = 1> (wide)
    y = ReduceSum <keepdims: int = 0> (highest, last)
}"""


def test_an_edge_of_minus_infinity_is_counted_as_nothing():
    """In front of a max pool whose own pads would not do the same."""
    source = onnx.parser.parse_model(PADDED)
    (edge,) = (constant for constant in source.graph.initializer if constant.name == "edge")
    edge.CopyFrom(onnx.numpy_helper.from_array(np.float32(-np.inf), "edge"))
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    explained = onnxlrp.convert(source, "epsilon", ledger=True)
    explanation = onnxlrp.Explainer(explained)({"x": x})
    assert explanation.ledger.gaps.max() <= 1e-5 * np.abs(explanation.ledger.values).max()  # not NaN either
