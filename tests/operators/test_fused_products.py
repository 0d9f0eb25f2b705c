"""Products, activations and rotary embedding as onnxruntime fuses them: kernels' outputs, gradients, layers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import reference
from tests.operators.fused import FLOAT, Array, Fused, check_forward, check_gradient, check_ledger, floats, ints

X, BIAS, WEIGHT = floats(0, 2, 3, 8), floats(4, 8), floats(5, 8, 4)
COSINES, SINES = floats(6, 5, 2), floats(7, 5, 2)
PLACES = ints([[0, 1, 2], [3, 1, 0]], np.int64)


def fused(op: str, *operands: Array | None, data: tuple[int, ...] = (0,), **attributes) -> Fused:
    return Fused(op, operands, data=data, attributes=attributes)


def product(*operands: Array, data: tuple[int, ...] = (0, 1), **attributes) -> Fused:
    return fused("FusedMatMul", *operands, data=data, **attributes)


def rotary(x: Array, places: Array = PLACES, **attributes) -> Fused:
    return Fused("RotaryEmbedding", [x, places, COSINES, SINES], feeds=(1,), attributes=attributes)


CASES = {
    "GELU": fused("Gelu", X),
    "GELU, bias": fused("BiasGelu", X, BIAS),
    "GELU, bias of data": fused("BiasGelu", X, BIAS, data=(0, 1)),
    "fast GELU": fused("FastGelu", X),
    "fast GELU, bias": fused("FastGelu", X, BIAS),
    "quick GELU": fused("QuickGelu", X),
    "quick GELU, factor": fused("QuickGelu", X, alpha=1.0),
    "product": product(X, WEIGHT, data=(0,), alpha=0.5),
    "product by its old name": fused("TransposeMatMul", X, WEIGHT.T.copy(), transB=1, alpha=2.0),
    "constant first": product(floats(1, 5, 3), X, data=(1,), alpha=0.5),
    "of data": product(X, floats(1, 2, 5, 8), transB=1, alpha=0.3),
    "first turned": product(X, floats(1, 2, 3, 5), transA=1),
    "batch turned": product(floats(0, 3, 2, 8), floats(1, 2, 8, 4), transBatchA=1),
    "second batch turned": product(X, floats(1, 8, 2, 4), transBatchB=1),
    "batch and first turned": product(floats(0, 8, 2, 3), floats(1, 2, 8, 4), transBatchA=1, transA=1),
    "two batch axes": product(floats(0, 3, 2, 5, 8), floats(1, 2, 5, 8, 4), transBatchA=1),
    "vector": product(floats(0, 8), WEIGHT, data=(0,), transA=1),
    "Gemm": fused("FusedGemm", X[0], WEIGHT, floats(8, 4), alpha=0.5, beta=2.0, activation="Tanh"),
    "Gemm, turned": fused("FusedGemm", X[0], WEIGHT.T.copy(), transB=1, activation="LeakyRelu", activation_alpha=0.3),
    "rotary": rotary(floats(0, 2, 2, 3, 4)),
    "rotary, interleaved": rotary(floats(0, 2, 2, 3, 4), interleaved=1),
    "rotary, flat": rotary(X, interleaved=1),
    "rotary, first place": rotary(X, ints([1], np.int64)),
    "rotary, in part": rotary(floats(0, 2, 2, 3, 6), num_heads=2, rotary_embedding_dim=4, interleaved=1),
    "rotary, flat, in part": rotary(floats(0, 2, 3, 16), num_heads=2, rotary_embedding_dim=4),
}


@pytest.mark.parametrize("name", CASES)
def test_outputs_are_the_kernels(name):
    check_forward(CASES[name])


DERIVED = ["GELU, bias of data", "quick GELU", "of data", "batch and first turned", "rotary, in part", "rotary, flat"]


@pytest.mark.parametrize("name", DERIVED)
def test_gradients_and_the_ledger(name):
    check_gradient(CASES[name])
    check_ledger(CASES[name])


def test_places_get_nothing():
    """They are given as an input of the model, but say where, not what: sines and cosines are constant."""
    case = CASES["rotary"]
    found = reference(case.explain("attn_lrp", np.float64, ledger=True))(case.inputs(np.float64))
    assert "x1_relevance" not in found
    taken = found["relevance_ledger"][:, 2:].sum()
    np.testing.assert_allclose(found["x0_relevance"].sum() + taken, found["y0"].sum(), atol=1e-8)


def gelu(x: Array) -> Array:
    """By quadrature of its definition: x times the share of a normal distribution below x."""
    grid = np.linspace(-12, 0, 20001)
    return x * np.trapezoid(np.exp(-0.5 * (grid + x[..., None]) ** 2), grid, axis=-1) / np.sqrt(2 * np.pi)


WITHOUT_KERNEL = {
    "sum": (fused("BiasAdd", X, BIAS, floats(1, 2, 3, 8), data=(0, 2)), X + BIAS + floats(1, 2, 3, 8)),
    "split": (fused("BiasSplitGelu", X, BIAS), (X + BIAS)[..., :4] * gelu((X + BIAS)[..., 4:])),
    "product": (
        fused("FusedMatMulActivation", X, WEIGHT, alpha=0.5, activation="Relu"),
        np.maximum(0.5 * X @ WEIGHT, 0),
    ),
    "leaky product": (
        fused("FusedMatMulActivation", X, WEIGHT, activation="LeakyRelu", activation_alpha=0.3),
        np.where(X @ WEIGHT > 0, X @ WEIGHT, 0.3 * (X @ WEIGHT)),
    ),
}


@pytest.mark.parametrize("name", WITHOUT_KERNEL)
def test_what_the_cpu_has_no_kernel_for(name):
    """By its description."""
    case, expected = WITHOUT_KERNEL[name]
    check_forward(case, {"y0": expected})
    check_gradient(case)
    check_ledger(case)


def test_gemma_turns_by_angles():
    angles, given = floats(0, 2, 3, 4), [floats(i, 2, 2, 3, 4) for i in range(1, 5)]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    outputs = {0: FLOAT, 1: FLOAT}
    case = Fused("GemmaRotaryEmbedding", [angles, *given], data=(1, 2), outputs=outputs)
    expected = {f"y{i}": given[2 * i] * cos + given[2 * i + 1] * sin for i in (0, 1)}
    check_forward(case, expected)


def test_a_factor_leaves_the_bias_to_its_layer():
    """The factor goes into the weight, so that product and bias are one layer."""
    model = product(X, WEIGHT, data=(0,), alpha=0.5).model()
    model.graph.initializer.append(numpy_helper.from_array(floats(8, 4), "b"))
    model.graph.node.append(helper.make_node("Add", ["y0", "b"], ["y"]))
    model.graph.output[0].name = "y"
    plan = onnxlrp.convert(model, "epsilon_plus", target="weights").plan
    assert [row.operator for row in plan.rows()] == ["MatMul+Add"]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (rotary(X, scale=2.0), "a scale"),
        (rotary(X, is_packed_batching=1), "packed batches"),
        (fused("FusedMatMulActivation", X, WEIGHT, activation="Softmax"), "Softmax"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(case, reason):
    with pytest.raises(UnsupportedOperatorError, match=rf"com\.microsoft::{case.op}.*'fused': .*{reason}"):
        case.explain("attn_lrp")
