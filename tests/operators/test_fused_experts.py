"""A mixture of experts: its kernel's outputs, gradients, and the router's share."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import reference
from tests.operators.fused import Array, Fused, check_forward, check_gradient, check_ledger, floats

TOKENS, WIDTH, INNER, EXPERTS = 6, 8, 5, 4
X, SCORES = floats(0, TOKENS, WIDTH), floats(1, TOKENS, EXPERTS)
FIRST, FIRST_BIAS = floats(2, EXPERTS, INNER, WIDTH), floats(3, EXPERTS, INNER)
SECOND, SECOND_BIAS = floats(4, EXPERTS, WIDTH, INNER), floats(5, EXPERTS, WIDTH)
THIRD, THIRD_BIAS = floats(6, EXPERTS, INNER, WIDTH), floats(7, EXPERTS, INNER)
WIDE, WIDE_BIAS = floats(2, EXPERTS, 2 * INNER, WIDTH), floats(3, EXPERTS, 2 * INNER)
BENT = {"activation_alpha": 1.702, "activation_beta": 1.0, "swiglu_limit": 0.7}


def experts(*operands: Array | None, **attributes) -> Fused:
    given = operands or (X, SCORES, FIRST, FIRST_BIAS, SECOND, SECOND_BIAS)
    return Fused("MoE", given, data=(0, 1), attributes={"k": 2, **attributes})


def gated(**attributes) -> Fused:
    operands = (X, SCORES, WIDE, WIDE_BIAS, SECOND, SECOND_BIAS)
    return experts(*operands, activation_type="swiglu", swiglu_fusion=1, normalize_routing_weights=1, **attributes)


CASES = {
    **{name: experts(activation_type=name) for name in ("relu", "gelu", "silu", "identity")},
    "one": experts(k=1),
    "one, as a share": experts(k=1, normalize_routing_weights=1),
    "shares": experts(normalize_routing_weights=1),
    "no biases": experts(X, SCORES, FIRST, None, SECOND),
    "a batch": experts(floats(0, 2, 3, WIDTH), SCORES, FIRST, FIRST_BIAS, SECOND, SECOND_BIAS),
    "gated": gated(),
    "gated and bent": gated(**BENT),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


@pytest.mark.parametrize("name", ["relu", "shares", "a batch", "gated and bent"])
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def mixed(each: Array, k: int = 2) -> Array:
    """[E, T, D] by the router."""
    chances = np.exp(SCORES) / np.exp(SCORES).sum(-1, keepdims=True)
    weights = np.where(chances >= np.sort(chances)[:, -k][:, None], chances, 0)
    return np.einsum("etd,te->td", each, weights)


def dense(x: Array, weight: Array, bias: Array) -> Array:
    return x @ weight.swapaxes(1, 2) + bias[:, None]


def test_forms_that_the_cpu_has_no_kernel_for():
    """By their description: a third layer, and gates and signals side by side or apart."""
    operands = (X, SCORES, FIRST, FIRST_BIAS, SECOND, SECOND_BIAS, THIRD, THIRD_BIAS)
    first, third = dense(X, FIRST, FIRST_BIAS), dense(X, THIRD, THIRD_BIAS)
    inner = first * sigmoid(first) * third
    expected = mixed(dense(inner, SECOND, SECOND_BIAS))
    check_forward(experts(*operands, activation_type="silu"), {"y0": expected})
    check_forward(experts(*operands, activation_type="swiglu", swiglu_fusion=0), {"y0": expected})
    both = dense(X, WIDE, WIDE_BIAS)
    gate, signal = np.minimum(both[..., :INNER], 0.7), np.clip(both[..., INNER:], -0.7, 0.7)
    inner = gate * sigmoid(1.702 * gate) * (signal + 1)
    case = experts(X, SCORES, WIDE, WIDE_BIAS, SECOND, SECOND_BIAS, activation_type="swiglu", swiglu_fusion=2, **BENT)
    check_forward(case, {"y0": mixed(dense(inner, SECOND, SECOND_BIAS))})


@pytest.mark.parametrize("shares", [0, 1])
def test_the_router_gets_half_or_nothing(shares):
    """The product of experts and weights halves under `attn_lrp`; under `cp_lrp` weights are constant."""
    case = experts(X, SCORES, FIRST, None, SECOND, activation_type="identity", normalize_routing_weights=shares)
    feeds = case.inputs(np.float64)
    halved = reference(case.explain("attn_lrp", np.float64))(feeds)
    kept = reference(case.explain("cp_lrp", np.float64))(feeds)
    np.testing.assert_allclose(halved["x0_relevance"], 0.5 * kept["x0_relevance"], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(kept["x0_relevance"].sum(), kept["y0"].sum(), rtol=1e-3)
    assert halved["x1_relevance"].any() and not kept.get("x1_relevance", np.zeros(1)).any()


def test_every_expert_is_a_layer_with_its_bias():
    plan = onnxlrp.convert(experts().model(), "attn_lrp", target="weights").plan
    assert [row.operator for row in plan.rows()].count("MatMul+Add") == 2


@pytest.mark.parametrize(
    ("attributes", "reason"), [({"use_sparse_mixer": 1}, "sparse mixer"), ({"activation_type": "tanh"}, "'tanh'")]
)
def test_what_has_no_rule_is_refused_by_name(attributes, reason):
    with pytest.raises(UnsupportedOperatorError, match=rf"com\.microsoft::MoE.*'fused': .*{reason}"):
        experts(**attributes).explain("attn_lrp")


def test_quantised_experts_are_refused_by_name():
    case = Fused("QMoE", [X, SCORES, FIRST.astype(np.uint8), SECOND.astype(np.uint8)], attributes={"k": 2})
    with pytest.raises(UnsupportedOperatorError, match=r"com\.microsoft::QMoE.*'fused': experts with quantised"):
        case.explain("attn_lrp")
