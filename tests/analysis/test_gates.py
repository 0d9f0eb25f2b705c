"""Gates: a product of gates is a gate, so that no factor of several is left out."""

from __future__ import annotations

import numpy as np

from tests.source.sketch import Sketch
from tests.source.test_explained_score import correlations, effects, explain, matrix, rows


def survival(order: list[int]):
    """The chance to survive three intervals, (1 − σ(a))·(1 − σ(b))·(1 − σ(c)), multiplied in an order."""
    g = Sketch()
    z = g.Gemm("x", matrix()[:, :3])
    alive = [g.Sub(1.0, g.Sigmoid(v)) for v in g.node("Split", z, outputs=3, axis=1, num_outputs=3)]
    a, b, c = (alive[i] for i in order)
    return g.model(g.Mul(g.Mul(a, b), c), 1)


def test_every_factor_of_three_gates_takes_part():
    """Relevance follows the effect on the product, whichever interval is the last."""
    for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1]):
        model = survival(order)
        relevance, _ = explain(model, rows(), "auto")
        assert np.mean(correlations(relevance, effects(model, rows()))) >= 0.85, order


def test_a_signal_keeps_all_beside_a_product_of_gates():
    """tanh(z)·(σ(a)·σ(b)) is explained by z alone under a composite that tells gates from signals."""
    g = Sketch()
    score = g.Gemm("x", matrix()[:, :1])
    gates = [g.Sigmoid(g.Gemm("x", matrix()[:, k : k + 1])) for k in (1, 2)]
    signal = g.Tanh(score)
    relevance, outputs = explain(g.model(g.Mul(signal, g.Mul(*gates)), 1), rows(), "epsilon")
    parts = rows() * matrix()[:, 0]
    shares = outputs["y"] * parts / parts.sum(1, keepdims=True)
    np.testing.assert_allclose(relevance, shares, rtol=1e-3, atol=1e-7)
