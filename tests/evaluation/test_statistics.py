"""Bootstrap intervals, correlations and entropy."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.evaluation.complexity import entropy
from onnxlrp.evaluation.leave_one_out import linear_correlation, rank_correlation, ranks
from onnxlrp.evaluation.statistics import bootstrap, paired


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    found = [bootstrap(random.normal(size=40), 0.9, seed) for seed in range(300)]
    assert 0.84 < np.mean([one.low < 0 < one.high for one in found]) < 0.94
    widths = [one.high - one.low for one in found]
    assert np.mean(widths) == pytest.approx(2 * 1.645 / 40**0.5, rel=0.1)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).normal(size=9)
    assert bootstrap(values, 0.95, 3) == bootstrap(values, 0.95, 3) != bootstrap(values, 0.95, 4)


def test_paired_differences_drop_what_samples_have_in_common():
    random = np.random.default_rng(2)
    hard = random.normal(size=30) * 100
    first, second = hard + 1 + random.normal(size=30) * 0.1, hard
    assert paired(first, second, 0.95, 0).low > 0.9
    assert bootstrap(first, 0.95, 0).low < bootstrap(second, 0.95, 0).high


def test_samples_without_a_value_are_left_out():
    assert bootstrap(np.array([np.nan, 2.0, 4.0]), 0.95, 0).mean == 3
    one, none = bootstrap(np.array([2.0, np.nan]), 0.95, 0), bootstrap(np.full(3, np.nan), 0.95, 0)
    assert (one.mean, one.samples) == (2, 1) and np.isnan(one.low)
    assert none.samples == 0 and np.isnan(none.mean)


def test_ranks_of_ties_are_their_mean():
    assert ranks(np.array([5.0, 1, 5, 9])).tolist() == [1.5, 0, 1.5, 3]


def test_correlations():
    a, b = np.array([[1.0, 2, 3, 4]]), np.array([[1.0, 8, 27, 64]])
    there = np.ones((1, 4), bool)
    assert rank_correlation(a, b, there)[0] == pytest.approx(1)
    assert linear_correlation(a, b, there)[0] == pytest.approx(np.corrcoef(a[0], b[0])[0, 1])
    assert linear_correlation(a, -a, there)[0] == pytest.approx(-1)
    assert np.isnan(linear_correlation(a, np.ones((1, 4)), there)[0])
    there[0, 3] = False
    assert linear_correlation(a, np.array([[1.0, 2, 3, -9]]), there)[0] == pytest.approx(1)


def test_entropy_goes_from_one_unit_to_all():
    there = np.array([[True] * 4, [True] * 4, [True, True, False, False], [True] * 4])
    relevance = np.array([[0.0, 5, 0, 0], [1, -1, 1, -1], [2, 2, 7, 7], [0, 0, 0, 0]])
    found = entropy(relevance, there)
    np.testing.assert_allclose(found[:3], [0, 1, 1])
    assert np.isnan(found[3])
