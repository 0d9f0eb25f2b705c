"""The plan warns where z⁺ or α−β read relevance that may be negative, and nowhere else."""

from __future__ import annotations

import pytest

import onnxlrp
from onnxlrp.rules import Gamma
from tests.plan.models import model

WEIGHTS = {"w0": (4, 3, 3, 3), "w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3), "v": (4, 2)}
HEAD = "p = GlobalAveragePool(h) f = Flatten(p) y = MatMul(f, v)"


def notes(body: str, composite: str = "epsilon_plus", **options) -> list[str]:
    text = f"g (float[N,3,8,8] x) => (float[N,2] y) <float six = {{6}}, float zero = {{0}}> {{ {body} {HEAD} }}"
    return [n for n in onnxlrp.inspect(model(text, WEIGHTS), composite, **options).notes if n.startswith("warning")]


def chain(activation: str) -> str:
    return f"""a = Conv<pads=[1,1,1,1]>(x, w0) b = {activation}(a)
        c = Conv<pads=[1,1,1,1]>(b, w1) h = {activation}(c)"""


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1", "deep_taylor"])
@pytest.mark.parametrize("activation", ["Tanh", "Elu", "Softplus", "Sigmoid", "LeakyRelu", "Gelu"])
def test_other_activations_warn(activation, composite):
    (note,) = notes(chain(activation), composite)
    assert ("2 layers" in note) is (composite != "deep_taylor")  # whose first layer reads weights alone
    assert "Gamma and Epsilon keep the sign" in note


@pytest.mark.parametrize("composite", ["epsilon_plus", "epsilon_alpha2_beta1", "deep_taylor"])
@pytest.mark.parametrize(
    "body",
    [
        chain("Relu"),
        "a = Conv(x, w0) b = Clip(a, zero, six) c = Conv(b, w1) h = Clip(c, zero, six)",
        "a = Conv(x, w0) b = MaxPool<kernel_shape=[2,2]>(a) c = Relu(b) d = Conv(c, w1) h = Relu(d)",
        "a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w1) d = Add(c, b) h = Relu(d)",
    ],
    ids=["ReLU", "ReLU6", "a pool in between", "a residual sum"],
)
def test_what_a_relu_cuts_does_not(body, composite):
    assert not notes(body, composite)


def test_a_residual_sum_that_nothing_cuts_warns():
    body = "a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w1) h = Add(c, b)"
    (note,) = notes(body)
    assert "the output of layer" in note


def test_gates_get_no_relevance_and_no_warning():
    """The convolution that a sigmoid makes a gate of receives nothing."""
    body = """a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) q = Conv<pads=[1,1,1,1]>(b, w1) s = Sigmoid(q)
        h = Mul(b, s)"""
    assert not notes(body)


def test_a_score_that_is_a_convolution_of_its_own():
    """A fully convolutional head: the score may be negative, unless relevance starts at max(0, score)."""
    text = """g (float[N,3,8,8] x) => (float[N,4] y) {
        a = Conv(x, w0) b = Relu(a) c = Conv(b, w1) p = GlobalAveragePool(c) y = Flatten(p) }"""
    warned = {c: any(n.startswith("warning") for n in onnxlrp.inspect(model(text, WEIGHTS), c).notes)
              for c in ("epsilon_plus", "deep_taylor", "auto", "epsilon", "gradient")}  # fmt: skip
    assert warned == {"epsilon_plus": True, "deep_taylor": False, "auto": False, "epsilon": False, "gradient": False}


def test_an_override_counts():
    assert not notes(chain("Tanh"), rules=[("Conv", Gamma(0.25))])
