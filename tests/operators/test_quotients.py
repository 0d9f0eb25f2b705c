"""Difference quotients of elementwise functions, against extended precision, near and far."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from onnxlrp.graph.builder import Builder
from onnxlrp.operators import quotients

Array = np.ndarray
GAPS = (0.0, 1e-9, 1e-6, 1e-3, 0.1, 0.24, 0.26, 0.49, 0.51, 1.0, 7.0, 60.0)
FUNCTIONS: dict[str, tuple[Callable, Callable, Callable]] = {
    "exp": (quotients.exp_quotient, np.exp, np.exp),
    "log": (quotients.log_quotient, np.log, lambda x: 1 / x),
    "sqrt": (quotients.sqrt_quotient, np.sqrt, lambda x: 1 / (2 * np.sqrt(x))),
    "reciprocal": (quotients.reciprocal_quotient, lambda x: 1 / x, lambda x: -1 / x**2),
    **{
        f"power {p}": (
            lambda op, a, b, p=p: quotients.pow_quotient(op, a, b, p),
            lambda x, p=p: x ** np.longdouble(p),
            lambda x, p=p: p * x ** np.longdouble(p - 1),
        )
        for p in (1.0, 2.0, 3.0, 0.5, 1.5, -1.0, -2.0, -1.5, -0.3, -9.0)
    },
}


def computed(quotient: Callable, a: Array, b: Array) -> Array:
    """A quotient in the type of its operands."""
    dtype = ir.DataType.from_numpy(a.dtype)
    values = [ir.Value(name=n, type=ir.TensorType(dtype), shape=ir.Shape([a.size])) for n in "ab"]
    graph = ir.Graph(values, [], nodes=[], name="quotient", opset_imports={"": 21})
    op = Builder(graph, "test")
    graph.outputs.append(op.alias(quotient(op, *values), "y"))
    model = ir.serde.serialize_model(ir.Model(graph, ir_version=10))
    onnx.checker.check_model(model)
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, {"a": a, "b": b})[0]


def expected(function: Callable, slope: Callable, a: Array, b: Array) -> Array:
    """In extended precision; where both are all but equal the slope in the middle, which is exact to the square."""
    a, b = a.astype(np.longdouble), b.astype(np.longdouble)
    with np.errstate(all="ignore"):
        plain = (function(a) - function(b)) / (a - b)
    return np.where(abs(a - b) < 1e-5 * abs(a), slope((a + b) / 2), plain)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-9), (np.float32, 3e-6)])
def test_quotient(name, dtype, tolerance):
    quotient, function, slope = FUNCTIONS[name]
    start = 0.5 + np.random.default_rng(0).uniform(0, 2, len(GAPS))
    for sign in (1, -1):
        low, high = start, start + np.array(GAPS)
        a, b = (low, high) if sign > 0 else (high, low)
        a, b = (-v if name == "exp" else v for v in (a, b))
        a, b = a.astype(dtype), b.astype(dtype)
        np.testing.assert_allclose(computed(quotient, a, b), expected(function, slope, a, b), rtol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_exponentials_far_below_zero(dtype):
    """`sinh` of half the difference would overflow; the quotient does not."""
    a, b = np.array([-1e4, -3.0, -1e30, 0.0], dtype), np.array([-2.0, -1e6, -1.0, 0.0], dtype)
    found = computed(quotients.exp_quotient, a, b)
    np.testing.assert_allclose(found[:3], [np.exp(-2) / 9998, np.exp(-3) / (1e6 - 3), np.exp(-1) / 1e30], rtol=1e-6)
    assert found[3] == 1


def test_roots_and_powers_at_zero():
    zero, one = np.zeros(1), np.ones(1)
    for quotient in (quotients.sqrt_quotient, FUNCTIONS["power 1.5"][0]):
        assert np.isfinite(computed(quotient, zero, zero)).all()
        np.testing.assert_allclose(computed(quotient, zero, one), 1.0, rtol=1e-9)
