"""Logarithms of sums: relevance follows the effect on the output on both sides of 0."""

from __future__ import annotations

import numpy as np
import pytest

from tests.source.sketch import Sketch
from tests.source.test_explained_score import correlations, effects, explain, matrix, rows

AXIS = np.array([1])


def free_energy(bias: float, mask: bool = False):
    """−log Σ exp(z) of six scores, of which the last may be masked."""
    g = Sketch()
    z = g.Add(g.Gemm("x", matrix()), bias)
    if mask:
        z = g.Where(np.arange(6) < 5, z, -np.inf)
    return g.model(g.Neg(g.ReduceLogSumExp(z, AXIS, keepdims=1)), 1)


def logarithm_of_rates(bias: float):
    """log Σ softplus(z) of six scores."""
    g = Sketch()
    return g.model(g.ReduceLogSum(g.Softplus(g.Add(g.Gemm("x", matrix()), bias)), AXIS, keepdims=1), 1)


@pytest.mark.parametrize("model", [free_energy(-3.0), free_energy(3.0), free_energy(0.5, mask=True)])
def test_an_energy_of_both_signs(model):
    """The sum of exponentials is below 1 in one model, and above in the others."""
    relevance, outputs = explain(model, rows(), ledger=True)
    assert np.mean(correlations(relevance, effects(model, rows()))) >= 0.95
    ledger = outputs["relevance_ledger"]
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("bias", [-3.0, 3.0])
def test_the_logarithm_of_a_sum_of_rates(bias):
    model = logarithm_of_rates(bias)
    relevance, outputs = explain(model, rows(), ledger=True)
    assert np.mean(correlations(relevance, effects(model, rows()))) >= 0.95
    ledger = outputs["relevance_ledger"]
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("follow", ["ReduceMax", "Sigmoid", "Exp"])
def test_the_ledger_closes_where_a_mask_is_infinite(follow):
    """A mask of −∞ need not be on its way to a softmax."""
    g = Sketch()
    z = g.Where(np.arange(6) < 5, g.Gemm("x", matrix()), -np.inf)
    y = g.ReduceMax(z, AXIS, keepdims=1) if follow == "ReduceMax" else g.ReduceSum(g.node(follow, z), AXIS, keepdims=1)
    _, outputs = explain(g.model(y, 1), rows(), ledger=True)
    ledger = outputs["relevance_ledger"]
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), rtol=1e-6, atol=1e-9)
