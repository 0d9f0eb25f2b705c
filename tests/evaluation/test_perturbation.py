"""Curves, areas, leave-one-out: by hand on sums, whose scores everyone can add up."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.evaluation.area import area, area_between
from onnxlrp.evaluation.perturbation import removed_counts
from tests.evaluation import nets

X = np.array([[3.0, 2.0, 1.0]], np.float32)


def evaluation(x, relevance, **options):
    options = {"measures": ("perturbation", "leave_one_out"), "beside": ("occlusion",), "baseline": "zero", **options}
    return onnxlrp.evaluate(nets.linear(np.ones((3, 1))), x, "lrp0", explanations={"own": relevance}, **options)


def test_the_curves_of_a_sum():
    """Most relevant first leaves 6, 3, 1, 0, the least relevant first 6, 5, 3, 0."""
    found = evaluation(X, X)
    curves = found.curves["own"]
    assert curves.most_first.tolist() == [[6, 3, 1, 0]] and curves.least_first.tolist() == [[6, 5, 3, 0]]
    np.testing.assert_allclose(curves.shares, [[0, 1 / 3, 2 / 3, 1]])
    assert found.figure("own", "deletion").mean == pytest.approx(7 / 3)
    assert found.figure("own", "insertion").mean == pytest.approx(11 / 3)
    assert found.figure("own", "area").mean == pytest.approx(4 / 3) == area_between(curves)[0]
    assert evaluation(X, -X).figure("own", "area").mean == pytest.approx(-4 / 3)


def test_fewer_steps_remove_several_units_at_once():
    assert removed_counts(np.array([5, 4]), 2).tolist() == [[0, 2, 5], [0, 2, 4]]
    assert evaluation(X, X, steps=2).curves["own"].most_first.tolist() == [[6, 3, 0]]


def test_ties_go_by_the_number_of_the_unit():
    assert evaluation(X, np.ones_like(X)).curves["own"].most_first.tolist() == [[6, 3, 1, 0]]


def test_the_area_of_unequal_steps():
    assert area(np.array([[4.0, 2.0, 0.0]]), np.array([[0, 0.5, 1.0]])) == pytest.approx(2)
    assert area(np.array([[4.0, 4.0, 0.0]]), np.array([[0, 0.25, 1.0]])) == pytest.approx(1 + 1.5)


def test_leave_one_out_of_a_sum_is_its_terms():
    found = evaluation(np.array([[3.0, -2.0, 1.0]], np.float32), X)
    assert found.relevance["occlusion"].tolist() == [[3, -2, 1]]
    assert found.figure("occlusion", "rank_agreement").mean == pytest.approx(1)
    assert found.figure("own", "rank_agreement").mean == pytest.approx(0.5)


def test_each_state_is_computed_once():
    """Curves share their ends, and equal orders share everything."""
    from onnxlrp.evaluation import removal

    counted = []
    run = removal.Removal._run

    def count(self, rows, masks):
        counted.append(len(rows))
        return run(self, rows, masks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal.Removal, "_run", count)
        onnxlrp.evaluate(nets.linear(np.ones((3, 1))), X, ["lrp0", "epsilon"], measures="perturbation", beside=(),
                         baseline="zero")  # fmt: skip
    assert sum(counted) == 6  # whole, none, and two states of each order


def test_values_of_other_samples_are_averaged():
    x = np.array([[1.0, 0, 0], [3, 0, 0], [5, 0, 0]], np.float32)
    found = evaluation(x, x, baseline="other_samples", steps=3)
    np.testing.assert_allclose(found.curves["own"].most_first[:, 1], [4, 3, 2])


def test_the_score_is_the_margin_where_a_softmax_is_skipped():
    random = np.random.default_rng(0)
    weights, x = random.normal(size=(4, 3)), random.normal(size=(5, 4)).astype(np.float32)
    found = onnxlrp.evaluate(nets.linear(weights, True), x, "lrp0", measures="perturbation", baseline="zero")
    logits = x @ weights
    np.testing.assert_allclose(found.curves["lrp0"].most_first[:, 0], logits.max(1), rtol=1e-5)
    assert found.score == "z"
    whole = onnxlrp.evaluate(
        nets.linear(weights, True), x, "lrp0", measures="perturbation", explain_probability=True, baseline="zero"
    )
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(whole.curves["lrp0"].most_first[:, 0], odds.max(1), rtol=1e-5)


def test_the_chosen_class_stays_the_same():
    """After the first removal another class would be predicted; the curve is that of the class asked for."""
    weights = np.array([[1.0, 0], [0, 1], [0, 1]])
    found = onnxlrp.evaluate(nets.linear(weights), X, "lrp0", measures="perturbation", baseline="zero", target=0)
    assert found.curves["lrp0"].most_first.tolist() == [[3, 0, 0, 0]]
    every = onnxlrp.evaluate(nets.linear(weights), np.repeat(X, 2, 0), "lrp0", measures="perturbation",
                             baseline="zero", target=[0, 1])  # fmt: skip
    assert every.curves["lrp0"].most_first.tolist() == [[3, 0, 0, 0], [3, 1, 0, 0]]


def test_a_model_of_fixed_batches():
    model = nets.linear(np.ones((3, 1)))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    x = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    options = {"measures": "perturbation", "baseline": "zero"}
    fixed = onnxlrp.evaluate(model, x, "lrp0", **options)
    free = onnxlrp.evaluate(nets.linear(np.ones((3, 1))), x, "lrp0", **options)
    np.testing.assert_allclose(fixed.curves["lrp0"].most_first, free.curves["lrp0"].most_first)
