"""Superpixels follow the borders of colours."""

from __future__ import annotations

import numpy as np

import onnxlrp
from onnxlrp.evaluation.superpixels import superpixels
from onnxlrp.evaluation.units import make_units
from tests.evaluation import nets
from tests.evaluation.parts import data_of


def two_colours(border: int) -> np.ndarray:
    """A picture [24, 24, 3] that is dark left of a border and light right of it, with a little noise."""
    picture = np.random.default_rng(border).normal(size=(24, 24, 3)) * 0.02
    picture[:, border:] += 1
    return picture


def test_no_region_crosses_a_border_of_colours():
    """The grid of seeds has lines at multiples of 6; the borders lie between them."""
    for border in (8, 10, 15):
        labels = superpixels(two_colours(border)[None], 6)[0]
        assert not set(labels[:, :border].ravel()) & set(labels[:, border:].ravel())
        assert set(labels.ravel()) == set(range(labels.max() + 1))


def test_a_flat_picture_gets_about_the_grid():
    labels = superpixels(np.ones((1, 24, 24, 3)), 6)[0]
    assert labels.max() + 1 == 16
    assert np.bincount(labels.ravel()).max() < 60


def test_units_differ_by_picture():
    x = np.stack([two_colours(8), two_colours(15)]).transpose(0, 3, 1, 2).astype(np.float32)
    units = make_units(data_of(x), "superpixels", 6)
    assert units.text == "superpixels of about 6 × 6" and units.labels["x"].shape == (2, 1, 24, 24)
    np.testing.assert_allclose(units.sums({"x": x}).sum(1), x.sum((1, 2, 3)), rtol=1e-5)


def test_an_evaluation_by_superpixels():
    x, _ = nets.planted(np.random.default_rng(0), 3)
    options = {"units": "superpixels", "unit_size": 4, "measures": "perturbation"}
    found = onnxlrp.evaluate(nets.bright_spots(), x, "epsilon", **options)
    assert found.difference("epsilon", "random").mean > 0
