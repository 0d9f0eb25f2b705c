"""Baselines: what stands in place of removed parts, and how it is named."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.evaluation.baselines import make_baseline
from onnxlrp.evaluation.units import make_units
from tests.evaluation.parts import data_of


def baseline(array, wanted="auto", token=None, seed=0, shape=None):
    data = data_of(array, shape)
    return make_baseline(data, make_units(data, "auto", None), wanted, token, seed)


def pictures() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 2, 20, 16)).astype(np.float32)


def test_a_picture_gets_its_own_mean_colour():
    x = pictures()
    found = baseline(x)
    assert found.text == "the picture's mean colour" and len(found.draws) == 1
    np.testing.assert_allclose(found.draws[0]["x"][:, :, 3, 5], x.mean((2, 3)), rtol=1e-5)


def test_blur_keeps_a_flat_picture_and_flattens_another():
    x = pictures()
    assert baseline(x, "blur").draws[0]["x"].std() < x.std() / 3
    np.testing.assert_allclose(baseline(np.ones_like(x), "blur").draws[0]["x"], 1, rtol=1e-6)


def test_a_table_gets_values_of_other_samples_in_the_same_column():
    x = np.arange(12.0, dtype=np.float32).reshape(6, 2)
    found = baseline(x)
    assert found.text == "values of 4 other samples" and len(found.draws) == 4
    for draw in found.draws:
        assert not (draw["x"] == x).any()
        assert sorted(draw["x"][:, 1]) == sorted(x[:, 1])
    assert baseline(x[:1]).text == "0"
    assert baseline(x, "mean").draws[0]["x"].tolist() == [[5.0, 6.0]]


def test_tokens_become_the_mask_token():
    ids = np.array([[5, 6, 7], [8, 9, 10]])
    assert baseline(ids, token=103, shape=("N", "T")).draws[0]["x"].tolist() == [[103] * 3]
    assert baseline(ids, shape=("N", "T")).text == "token 0 (no mask token is known)"


def test_a_series_gets_its_mean_over_time():
    x = np.arange(40.0, dtype=np.float32).reshape(2, 2, 10)
    np.testing.assert_allclose(baseline(x).draws[0]["x"], np.broadcast_to(x.mean(2, keepdims=True), x.shape))


def test_numbers_and_arrays():
    x = pictures()
    assert (baseline(x, 7).draws[0]["x"] == 7).all() and baseline(x, 7).draws[0]["x"].shape == (1, 2, 20, 16)
    assert baseline(x, np.zeros((2, 20, 16))).text == "values as given"
    assert baseline(x, x + 1).draws[0]["x"].shape == x.shape


@pytest.mark.parametrize(
    ("array", "wanted", "message"),
    [
        (pictures(), "mask_token", "is no baseline for input 'x', a picture: take auto, mean, blur"),
        (np.zeros((2, 3), np.float32), "blur", "is no baseline for input 'x', a table"),
        (pictures(), np.zeros(7), "does not broadcast"),
        (np.zeros((1, 3), np.float32), "other_samples", "has one sample"),
    ],
)
def test_baselines_that_do_not_fit(array, wanted, message):
    with pytest.raises(InputError, match=message):
        baseline(array, wanted)
