"""Activations with f(0) ≠ 0 inside a network, against the rule's own formula in float64.

The constant f(0) keeps its share; the operand has c_z = c_y·(f(z) − f(0))/z, as a factor.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp import composites
from onnxlrp.rules import Flat
from tests.oracle.reference import Runner
from tests.oracle.tape import EPSILON, stabilised
from tests.source.sketch import Sketch

Array = np.ndarray
NEAR = 1e-2
"""Below this size of z the quotient loses its digits in float32, and f′(z/2) is taken."""
ALL = np.array([-3.1, -1.7, -0.8, -0.2, 0.15, 0.6, 1.3, 2.9])
POSITIVE = np.array([0.05, 0.2, 0.5, 0.9, 1.2, 1.8, 2.5, 3.3])
UNIT = ALL / 3.3
APART = np.where(np.abs(ALL) < 0.3, ALL * 3, ALL)


@dataclasses.dataclass(frozen=True)
class Activation:
    """A function in numpy and in nodes, and numbers it is tried at."""

    f: Callable[[Array], Array]
    write: Callable[[Any, str], str]
    points: Array = dataclasses.field(default_factory=lambda: ALL)
    slope: bool = False
    """There is no finite f(0): c_z = c_y·f′(z)."""
    tolerance: float = 1e-8
    """Sums inside a function that is written out may absorb ε."""


def _erf(z: Array) -> Array:
    return np.vectorize(math.erf)(z)


def _sigma(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def _written(g: Any, z: str) -> str:
    """The sigmoid as four nodes."""
    return g.Reciprocal(g.Add(g.Exp(g.Neg(z)), 1.0))


def _spread(g: Any, z: str) -> str:
    p = _written(g, z)
    return g.Mul(p, g.Sub(1.0, p))


A = Activation
WRITTEN = 1e-5
OPERATORS: dict[str, Activation] = {
    "sigmoid": A(_sigma, lambda g, z: g.Sigmoid(z)),
    "hard sigmoid": A(lambda z: np.clip(0.25 * z + 0.5, 0, 1), lambda g, z: g.HardSigmoid(z, alpha=0.25)),
    "softplus": A(lambda z: np.log1p(np.exp(z)), lambda g, z: g.Softplus(z)),
    "exp": A(np.exp, lambda g, z: g.Exp(z)),
    "cos": A(np.cos, lambda g, z: g.Cos(z)),
    "cosh": A(np.cosh, lambda g, z: g.Cosh(z)),
    "acos": A(np.arccos, lambda g, z: g.Acos(z), UNIT),
    "clip above 0": A(lambda z: np.clip(z, 0.5, 2.0), lambda g, z: g.Clip(z, 0.5, 2.0)),
    "clip below 0": A(lambda z: np.clip(z, -2.0, -0.5), lambda g, z: g.Clip(z, -2.0, -0.5)),
    "1.1 ** z": A(lambda z: 1.1**z, lambda g, z: g.Pow(1.1, z)),
}
LIMITLESS: dict[str, Activation] = {
    "log": A(np.log, lambda g, z: g.Log(z), POSITIVE, slope=True),
    "reciprocal": A(lambda z: 1 / z, lambda g, z: g.Reciprocal(z), APART, slope=True),
    "constant / z": A(lambda z: 2.5 / z, lambda g, z: g.Div(2.5, z), APART, slope=True),
    "z ** -1": A(lambda z: z**-1.0, lambda g, z: g.Pow(z, -1.0), APART, slope=True),
    "z ** -0.5": A(lambda z: z**-0.5, lambda g, z: g.Pow(z, -0.5), POSITIVE, slope=True),
}
"""Functions without a finite f(0)."""
REGIONS: dict[str, Activation] = {
    "p·(1 − p), written out": A(lambda z: _sigma(z) * (1 - _sigma(z)), _spread, tolerance=WRITTEN),
    "log(2 − p), written out": A(
        lambda z: np.log(2 - _sigma(z)), lambda g, z: g.Log(g.Sub(2.0, _written(g, z))), tolerance=WRITTEN
    ),
    "log(z + ε)": A(lambda z: np.log(z + 1e-3), lambda g, z: g.Log(g.Add(z, 1e-3)), POSITIVE, tolerance=WRITTEN),
    "log(max(z, ε))": A(
        lambda z: np.log(np.maximum(z, 1e-3)), lambda g, z: g.Log(g.Max(z, 1e-3)), POSITIVE, tolerance=WRITTEN
    ),
    "log(clip(z, ε))": A(
        lambda z: np.log(np.maximum(z, 1e-3)), lambda g, z: g.Log(g.Clip(z, 1e-3)), POSITIVE, tolerance=WRITTEN
    ),
    "1 / (1 + z)": A(lambda z: 1 / (1 + z), lambda g, z: g.Div(1.0, g.Add(1.0, z)), POSITIVE, tolerance=WRITTEN),
    "reciprocal(z + 1)": A(
        lambda z: 1 / (1 + z), lambda g, z: g.Reciprocal(g.Add(z, 1.0)), POSITIVE, tolerance=WRITTEN
    ),
    "z * sigmoid(1.7 z)": A(lambda z: z * _sigma(1.7 * z), lambda g, z: g.Mul(z, g.Sigmoid(g.Mul(z, 1.7)))),
    "sigmoid, written out": A(_sigma, lambda g, z: g.Div(1.0, g.Add(1.0, g.Exp(g.Neg(z)))), tolerance=WRITTEN),
    "softplus, written out": A(
        lambda z: np.log1p(np.exp(z)), lambda g, z: g.Log(g.Add(1.0, g.Exp(z))), tolerance=WRITTEN
    ),
    "1 - sigmoid": A(lambda z: 1 - _sigma(z), lambda g, z: g.Sub(1.0, g.Sigmoid(z)), tolerance=WRITTEN),
    "normal cdf": A(
        lambda z: 0.5 * (1 + _erf(z * 0.5)),
        lambda g, z: g.Mul(0.5, g.Add(1.0, g.Erf(g.Mul(z, 0.5)))),
        tolerance=WRITTEN,
    ),
    "z * sigmoid(z) + 0.7": A(
        lambda z: z * _sigma(z) + 0.7, lambda g, z: g.Add(g.Mul(z, g.Sigmoid(z)), 0.7), tolerance=WRITTEN
    ),
    "exp(-z²/2)": A(lambda z: np.exp(-(z**2) / 2), lambda g, z: g.Exp(g.Mul(g.Mul(z, z), -0.5)), tolerance=WRITTEN),
}
"""Regions of one data value: they are one function, whatever their parts would do."""
FINITE = OPERATORS | REGIONS
EVERY = FINITE | LIMITLESS
HEAD = np.random.default_rng(4).normal(size=(4, 3))
NAMES = [pytest.param(n, marks=pytest.mark.cheapest_forms) if n == "hard sigmoid" else n for n in EVERY]
"""A factor goes on where a function is 0 over a whole interval; an amount is 0 there."""


def derivative(f: Callable[[Array], Array], z: Array, h: float = 1e-4) -> Array:
    """The five-point formula, exact to h⁴."""
    return (8 * (f(z + h) - f(z - h)) - (f(z + 2 * h) - f(z - 2 * h))) / (12 * h)


def factor(activation: Activation, z: Array) -> Array:
    """c_z / c_y."""
    f, near = activation.f, np.abs(z) < NEAR
    if activation.slope:
        return derivative(f, z)
    with np.errstate(all="ignore"):
        quotient = (f(z) - f(np.zeros_like(z))) / z
    return np.where(near, derivative(f, np.where(near, z / 2, 0.4)), quotient)


def rows(activation: Activation, width: int = 4) -> Array:
    """Each of the activation's points in each column."""
    return np.stack([np.roll(activation.points, 3 * k) for k in range(width)], axis=1)


def network(activation: Activation, floating: type = np.float64, **head: Any) -> onnx.ModelProto:
    """x → f → a dense layer without bias."""
    g = Sketch(floating)
    return g.model(g.Gemm(activation.write(g, "x"), HEAD, **head), 3, width=4)


def explain(source: onnx.ModelProto, x: Array, composite: Any = "epsilon", **options: Any):
    """Relevance of x for class 1, and every output."""
    explained = onnxlrp.convert(source, composite, **options)
    outputs = Runner(explained.to_proto())({"x": x, "target": np.array([1])})
    return outputs["x_relevance"], outputs


def arriving(values: Array) -> Array:
    """The factor at the dense layer's operand."""
    y = values @ HEAD[:, 1]
    return HEAD[:, 1] * (y / stabilised(y))[:, None]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("composite", ["epsilon", "auto", "epsilon_plus", "attn_lrp"])
def test_the_constant_keeps_its_share(name, composite):
    activation = EVERY[name]
    x = rows(activation)
    relevance, _ = explain(network(activation), x, composite)
    expected = x * factor(activation, x) * arriving(activation.f(x))
    size = np.abs(expected).max()
    np.testing.assert_allclose(relevance, expected, rtol=activation.tolerance, atol=activation.tolerance * size)


@pytest.mark.parametrize("name", [n for n in FINITE if FINITE[n].points is not POSITIVE])
def test_near_zero(name):
    """The slope in the middle is taken where the quotient would lose its digits; nothing is divided by 0."""
    activation = FINITE[name]
    x = np.array([[-8e-3, -1e-3, 1e-6, 0.0], [9e-3, 1e-5, -1e-7, 0.0], [0.0, 2e-2, -2e-2, 5e-3]])
    relevance, _ = explain(network(activation), x)
    expected = x * factor(activation, x) * arriving(activation.f(x))
    np.testing.assert_allclose(relevance, expected, rtol=WRITTEN, atol=1e-12)
    np.testing.assert_array_equal(relevance[x == 0], 0)


@pytest.mark.parametrize("name", [n for n in FINITE if FINITE[n].points is not POSITIVE])
def test_near_zero_in_single_precision(name):
    """Factors keep four digits down to the smallest z."""
    activation = FINITE[name]
    x = np.array([[s * 10.0**-k * (1 + 0.1 * j) for j in range(4)] for k in range(1, 8) for s in (1, -1)], np.float32)
    explainer = onnxlrp.Explainer(onnxlrp.convert(network(activation, np.float32), "epsilon"))
    relevance = explainer({"x": x}, target=1).relevance["x"]
    assert relevance.dtype == np.float32
    z = x.astype(np.float64)
    expected = factor(activation, z) * arriving(activation.f(z))
    size = np.abs(expected).max()
    np.testing.assert_allclose(relevance / z, expected, rtol=1e-3, atol=1e-3 * size)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision(name):
    activation = EVERY[name]
    x = rows(activation).astype(np.float32)
    explainer = onnxlrp.Explainer(onnxlrp.convert(network(activation, np.float32), "epsilon"))
    relevance = explainer({"x": x}, target=1).relevance["x"]
    z = x.astype(np.float64)
    expected = z * factor(activation, z) * arriving(activation.f(z))
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["sigmoid", "exp", "softplus", "hard sigmoid", "clip above 0"])
def test_large_arguments(name):
    """Relevance is bounded by what the function and f(0) are."""
    activation = OPERATORS[name]
    x = np.array([[-40.0, 30.0, -25.0, 20.0], [3.0, -30.0, 12.0, -12.0]])
    relevance, _ = explain(network(activation), x)
    change = np.abs(activation.f(x) - activation.f(0 * x)) * np.abs(HEAD[:, 1])
    assert np.isfinite(relevance).all()
    assert (np.abs(relevance) <= change * (1 + 1e-6) + 1e-9).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_ledger_closes(name):
    """The share that f(0) keeps is in the ledger's bias."""
    activation = EVERY[name]
    x = rows(activation)
    relevance, outputs = explain(network(activation), x, ledger=True)
    ledger = outputs["relevance_ledger"]
    size = np.abs(ledger[:, 0]).sum()
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), atol=1e-4 * size)
    np.testing.assert_allclose(ledger[0, 0], relevance.sum() + ledger[:, 2:].sum(), atol=1e-6 * size)
    values = activation.f(x)
    kept = ((values - x * factor(activation, x)) * arriving(values)).sum()
    np.testing.assert_allclose(ledger[:, 2].sum(), kept, atol=1e-4 * size)


# -------------------------------------------------------------------------------------------- what arrives, and where


@pytest.mark.parametrize("name", FINITE)
def test_downstream_of_a_layer(name):
    """The layer upstream divides by its own output, which is the activation's operand."""
    activation = FINITE[name]
    rng = np.random.default_rng(6)
    w, b = rng.normal(size=(5, 4)) * 0.3, rng.uniform(0.2, 0.4, size=4)
    x = rng.normal(size=(9, 5))
    if activation.points is POSITIVE:
        w, x = np.abs(w), np.abs(x)
    if activation.points is UNIT:
        x = x / 3
    g = Sketch()
    # A ReLU of what is positive keeps a constant that is added next from being the layer's bias.
    layer = g.Gemm("x", w, b)
    hidden = activation.write(g, g.Relu(layer) if activation.points is POSITIVE else layer)
    relevance, _ = explain(g.model(g.Gemm(hidden, HEAD), 3, width=5), x)
    z = x @ w + b
    carried = factor(activation, z) * arriving(activation.f(z)) * z / stabilised(z)
    expected = x * (carried @ w.T)
    np.testing.assert_allclose(relevance, expected, rtol=WRITTEN, atol=WRITTEN * np.abs(expected).max())


@pytest.mark.parametrize("name", ["sigmoid", "exp", "softplus", "cos", "1 - sigmoid", "softplus, written out"])
def test_an_amount_arrives(name):
    """Flat gives every unit the same amount R: the operand has R·(f(z) − f(0))/f(z), but for ε."""
    activation = FINITE[name]
    x = rows(activation)
    relevance, outputs = explain(network(activation, name="dense"), x, rules=[("dense", Flat())])
    amount = outputs["y"][:, 1:2] / (4 + EPSILON)
    values = activation.f(x)
    expected = amount * (values - activation.f(0 * x)) / values
    np.testing.assert_allclose(relevance, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["hard sigmoid", "cos", "clip above 0"])
def test_an_amount_arrives_where_the_function_is_zero(name):
    """Nothing is divided by f(z) = 0, whatever arrives there."""
    activation = OPERATORS[name]
    x = np.array([[-6.0, -2.5, 1.0, np.pi / 2], [-4.0, 0.0, 1e-9, -np.pi / 2]])
    relevance, outputs = explain(network(activation, name="dense"), x, rules=[("dense", Flat())])
    assert np.isfinite(relevance).all()
    reached = np.abs(outputs["y"][:, 1]).max()
    assert np.abs(relevance[:, :3]).max() <= 100 * reached


def test_through_a_max_pool():
    """The winner of each pair hands its factor on."""
    activation = OPERATORS["sigmoid"]
    g = Sketch()
    pooled = g.MaxPool(activation.write(g, "x"), kernel_shape=[2], strides=[2])
    source = g.model(g.Gemm(g.Reshape(pooled, np.array([-1, 4])), HEAD), 3, shape=["N", 1, 8])
    x = np.random.default_rng(3).normal(size=(6, 1, 8)) * 2
    relevance, _ = explain(source, x)
    pairs = x.reshape(6, 4, 2)
    won = pairs == pairs.max(2, keepdims=True)
    carried = np.repeat(arriving(activation.f(pairs.max(2)))[..., None], 2, axis=2) * won
    expected = (pairs * factor(activation, pairs) * carried).reshape(x.shape)
    np.testing.assert_allclose(relevance, expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["sigmoid", "exp", "softplus"])
def test_in_a_sum(name):
    """A sum of branches hands both the same factor."""
    activation = OPERATORS[name]
    branch = np.random.default_rng(9).normal(size=(4, 4))
    g = Sketch()
    h = g.Add(activation.write(g, "x"), g.MatMul("x", branch))
    x = rows(activation)
    relevance, _ = explain(g.model(g.Gemm(h, HEAD), 3, width=4), x)
    v = x @ branch
    total = activation.f(x) + v
    carried = arriving(total) * total / stabilised(total)
    expected = x * (factor(activation, x) * carried + (carried * v / stabilised(v)) @ branch.T)
    np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-8)


def test_two_activations_in_a_row():
    """Softplus and then a sigmoid are one function of one value, with one f(0)."""
    both = Activation(lambda z: _sigma(np.log1p(np.exp(z))), lambda g, z: g.Sigmoid(g.Softplus(z)))
    x = rows(both)
    relevance, _ = explain(network(both), x)
    values = both.f(x)
    softplus = np.log1p(np.exp(x))
    stepwise = factor(OPERATORS["sigmoid"], softplus) * factor(OPERATORS["softplus"], x)
    whole = factor(both, x)
    found = relevance / (x * arriving(values))
    close = [np.allclose(found, expected, rtol=1e-5) for expected in (whole, stepwise)]
    assert any(close)


# ------------------------------------------------------------------------------------------------------- as the peers


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("composite", ["EpsilonPlus", 'epsilon(activations="pass")'])
def test_relevance_passes_where_that_is_asked_for(name, composite):
    """R_in = R at every activation, as in Zennit and LXT."""
    given: Any = composites.EpsilonPlus(activations="pass") if composite == "EpsilonPlus" else composite
    activation = EVERY[name]
    x = rows(activation)
    relevance, _ = explain(network(activation), x, given)
    values = activation.f(x)
    np.testing.assert_allclose(relevance, values * arriving(values), rtol=1e-8, atol=1e-12)


def test_every_composite_has_the_field():
    """`activations` is "offset" or "pass" whatever the composite."""
    public = [v for k, v in vars(composites).items() if isinstance(v, type) and issubclass(v, composites.Composite)]
    named = [c for c in public if c is not composites.Composite and not c.__name__.startswith("_")]
    assert len(named) > 10
    for kind in named:
        fields = {f.name: f for f in dataclasses.fields(kind)}
        assert fields["activations"].default == "offset", kind.__name__


def test_another_word_is_refused():
    with pytest.raises(onnxlrp.errors.OnnxLrpError, match="activations"):
        onnxlrp.convert(network(OPERATORS["sigmoid"]), 'epsilon(activations="half")')


@pytest.mark.parametrize("name", ["sigmoid", "exp", "softplus, written out", "reciprocal", "log"])
def test_gradients_stay_gradients(name):
    """A gradient knows no offset."""
    activation = EVERY[name]
    x = rows(activation)
    relevance, _ = explain(network(activation), x, "gradient")
    np.testing.assert_allclose(relevance, derivative(activation.f, x) * HEAD[:, 1], rtol=1e-6, atol=1e-8)


def test_squares_of_distances_to_several_centres():
    """−Σ(x − m)² for each of three centres: each feature's relevance is the effect of putting it to 0."""
    g = Sketch(np.float64)
    centres = np.random.default_rng(5).normal(size=(3, 4))
    apart = g.Sub(g.Unsqueeze("x", np.array([1])), centres)
    scores = g.Neg(g.ReduceSum(g.Pow(apart, 2.0), np.array([2]), keepdims=0))
    x = np.random.default_rng(6).normal(size=(5, 4))
    relevance, _ = explain(g.model(scores, 3, width=4), x, "lrp0", ledger=True)
    np.testing.assert_allclose(relevance, centres[1] ** 2 - (x - centres[1]) ** 2, rtol=1e-9)
