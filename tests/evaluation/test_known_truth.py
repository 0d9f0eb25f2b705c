"""Models whose truth is known: measures put it above a shuffled one, and flag what ignores the weights."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.evaluation import nets

QUICK = ("perturbation", "leave_one_out")


def shuffled(random: np.random.Generator, relevance: np.ndarray) -> np.ndarray:
    """Move each sample's relevance to other elements."""
    return random.permuted(relevance.reshape(len(relevance), -1), axis=1).reshape(relevance.shape)


@pytest.mark.slow
def test_a_true_explanation_of_an_additive_function_beats_a_shuffled_one():
    """In 100 of 100 functions, by every measure that has a better direction."""
    random = np.random.default_rng(0)
    for _ in range(100):
        slopes = random.normal(size=10) * 2
        x = random.normal(size=(8, 10)).astype(np.float32)
        truth = np.tanh(slopes * x)
        own = {"truth": truth, "shuffled": shuffled(random, truth)}
        options = {"explanations": own, "measures": QUICK, "baseline": "zero", "beside": ()}
        evaluation = onnxlrp.evaluate(nets.additive(slopes), x, "lrp0", **options)
        for measure in ("area", "deletion", "insertion", "rank_agreement", "linear_agreement"):
            difference = evaluation.difference("truth", "shuffled", measure)
            assert (difference.mean > 0) == (measure != "deletion"), (measure, difference)
        assert evaluation.figure("truth", "rank_agreement").mean == pytest.approx(1, abs=0.01)
        assert evaluation.figure("truth", "linear_agreement").mean == pytest.approx(1, abs=1e-6)


@pytest.mark.slow
def test_planted_evidence():
    """Bright squares in dark pictures: in 100 of 100, and the boxes hold all relevance of the truth."""
    random = np.random.default_rng(1)
    for _ in range(100):
        x, boxes = nets.planted(random, 4, 12, 4)
        truth = np.maximum(x - 0.5, 0)
        own = {"truth": truth, "shuffled": shuffled(random, truth)}
        options = {"explanations": own, "baseline": "mean", "unit_size": 2, "beside": (), "masks": boxes}
        measures = ("perturbation", "localisation")
        evaluation = onnxlrp.evaluate(nets.bright_spots(12), x, "lrp0", measures=measures, **options)
        assert evaluation.difference("truth", "shuffled", "area").mean > 0
        assert evaluation.figure("truth", "localisation").mean == 1
        assert evaluation.figure("shuffled", "localisation").mean < 0.5


def test_an_explanation_that_ignores_the_weights_is_flagged():
    random = np.random.default_rng(2)
    x = random.normal(size=(6, 1, 12, 12)).astype(np.float32)

    def edges(model, inputs, target):
        return np.abs(np.gradient(inputs["x"], axis=3)) + np.abs(np.gradient(inputs["x"], axis=2))

    options = {"explanations": {"edges": edges}, "measures": ("sanity",), "unit_size": 1}
    evaluation = onnxlrp.evaluate(nets.convolutions(random), {"x": x}, ["epsilon"], **options)
    assert not evaluation.sanity["edges"].depends_on_weights
    assert evaluation.sanity["edges"].similarity == (1.0,) * 3
    assert evaluation.sanity["epsilon"].depends_on_weights
    assert evaluation.sanity["epsilon"].layers == (1, 2, 3)
    assert any("edges" in note for note in evaluation.notes)
    assert not any("epsilon" in note for note in evaluation.notes)
