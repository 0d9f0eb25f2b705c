"""Gates as onnxruntime fuses them, and its windows: its kernels' outputs, gradients, and the relevance of the parts."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import reference
from tests.operators.fused import Array, Fused, check_forward, check_gradient, check_ledger, floats

X, Y, GATE, GAMMA = floats(0, 2, 3, 8), floats(1, 2, 3, 8), floats(2, 2, 3, 1), floats(3, 8)


def fused(op: str, *operands: Array | None, data: tuple[int, ...] = (0,), **attributes) -> Fused:
    return Fused(op, operands, data=data, attributes=attributes)


def norm(gamma: Array, **attributes) -> Fused:
    return fused("GatedRMSNorm", X, gamma, Y, data=(0, 2), **attributes)


CASES = {
    "SiLU": fused("ScaledSiLU", X),
    "SiLU, factor": fused("ScaledSiLU", X, alpha=1.7),
    "SiLU, factor of data": fused("ScaledSiLU", X, np.float32(0.3), data=(0, 1), alpha=1.7),
    "sum": fused("GatedAdd", X, Y, GATE, data=(0, 1, 2)),
    "sum, constant gate": fused("GatedAdd", X, Y, GATE, data=(0, 1)),
    "norm": norm(GAMMA),
    "norm, sigmoid": norm(GAMMA, activation="sigmoid", epsilon=0.1),
    "norm, heads": norm(floats(3, 4), activation="swish"),
    "windows": fused("UnfoldTensor", floats(0, 2, 9), size=4, step=2),
    "windows, first axis": fused("UnfoldTensor", floats(0, 5, 2, 3), dim=0, size=2),
    "windows, one": fused("UnfoldTensor", X, dim=1, size=3, step=5),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


@pytest.mark.parametrize("name", ["SiLU, factor", "sum", "norm", "norm, heads", "windows", "windows, first axis"])
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


def relevance(case: Fused, composite: str, weights: Array) -> list[Array]:
    found = reference(case.explain(composite, np.float64))({**case.inputs(np.float64), "y0_weights": weights})
    return [found[f"x{i}_relevance"] for i in case.data]


def test_a_sum_shares_in_proportion_and_a_gate_takes_half():
    """1 + 4·0.5 = 3, of which the product's 2 are halved."""
    case = fused("GatedAdd", np.array([[1.0]], "f"), np.array([[4.0]], "f"), np.array([[0.5]], "f"), data=(0, 1, 2))
    np.testing.assert_allclose(relevance(case, "attn_lrp", np.ones((1, 1))), [[[1]]] * 3, rtol=1e-5)


def test_a_norm_passes_and_its_gate_takes_half():
    steps = {(step.operator, step.why) for step in onnxlrp.inspect(norm(GAMMA).model(), "attn_lrp").steps}
    assert (
        "RMSNormalization",
        "RMS norm, written out. Relevance passes unchanged: the denominator is constant.",
    ) in steps
    assert ("Mul", "product of data: half each (SwiGLU)") in steps


def test_an_element_sums_what_its_windows_got():
    """Of 5 elements in windows of 3, the middle one is in three."""
    case = fused("UnfoldTensor", np.ones((1, 5), np.float32), size=3)
    np.testing.assert_allclose(relevance(case, "epsilon", np.ones((1, 3, 3))), [[[1, 2, 3, 2, 1]]])


def test_an_unknown_activation_is_refused():
    with pytest.raises(UnsupportedOperatorError, match="the activation 'tanh' is not supported"):
        norm(GAMMA, activation="tanh").explain("epsilon")
