"""Channels of a call: by number, as a mask, for each sample, in a map over many samples."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from tests.emit.test_concept_masks import X, network

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
x = np.concatenate([X, X[::-1]]).astype(np.float32)


@pytest.fixture(scope="module")
def explainer():
    return onnxlrp.Explainer(onnxlrp.convert(network("float"), "epsilon", concepts=["b", "e"]))


def test_numbers_and_masks(explainer):
    named = explainer(x, channels={"b": [1, 4]}).relevance["x"]
    mask = explainer(x, channels={"b": [0.0, 1, 0, 0, 1, 0]}).relevance["x"]
    truth = explainer(x, channels={"b": np.array([False, True, False, False, True, False])}).relevance["x"]
    single = sum(explainer(x, channels={"b": k}).relevance["x"] for k in (1, 4))
    np.testing.assert_array_equal(named, mask)
    np.testing.assert_array_equal(named, truth)
    np.testing.assert_allclose(named, single, atol=1e-6)
    assert np.abs(named).max() > 1e-3 and explainer(x, channels={"b": []}).relevance["x"].any() == np.False_


def test_a_sum_over_some_channels_is_no_doubt(explainer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer(x, channels={"b": 1})


def test_a_map_over_many_samples(explainer, tmp_path):
    masks = np.eye(6, dtype=np.float32)[[0, 3, 1, 3]]
    whole = explainer(x, channels={"b": masks}).relevance["x"]
    parts = [part.relevance["x"] for part in explainer.map(x, batch_size=3, channels={"b": masks})]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)
    kept = explainer.map(x, batch_size=3, channels={"b": masks}, to=tmp_path / "kept")
    np.testing.assert_allclose(kept["x_relevance"], whole, atol=1e-6)
    with pytest.raises(InputError, match="begun with"):
        explainer.map(x, batch_size=3, channels={"b": 3}, to=tmp_path / "kept")


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ({"b": 6}, "'b' has the channels 0 to 5, not 6"),
        ({"b": [-1]}, "'b' has the channels 0 to 5, not -1"),
        ({"b": [1, 1]}, "named twice: a mask is given as floats"),
        ({"b": [1.0, 0.0]}, r"the mask of 'b' is \[2\], not \[6\], or that for each sample"),
        ({"b": np.ones((3, 6))}, "there are 4 samples, and masks of 'b' for 3"),
        ({"b": "red"}, "channels of 'b' are integers, or a mask of floats"),
        ({"d": 1}, "'d' is no concept of this model; it has b, e"),
        (1, "channels is a dictionary, because the model has several concepts: b, e"),
    ],
)
def test_channels_that_there_are_not(explainer, channels, message):
    with pytest.raises(InputError, match=message):
        explainer(x, channels=channels)


def test_a_model_without_concepts():
    plain = onnxlrp.Explainer(onnxlrp.convert(network("float"), "epsilon"))
    with pytest.raises(InputError, match="convert it with concepts="):
        plain(x, channels={"b": 1})
