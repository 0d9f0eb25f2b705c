"""Units: which elements are removed at once, by kind of input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.evaluation.units import make_units
from onnxlrp.runtime.input_kinds import input_kind
from onnxlrp.runtime.inputs import TensorSpec
from tests.evaluation.parts import data_of


def test_patches_hold_all_channels():
    units = make_units(data_of(np.zeros((2, 3, 28, 28), np.float32)), "auto", None)
    assert units.count == 14 * 14 and units.text == "patches of 2 × 2" and units.present.all()
    x = np.arange(2 * 3 * 28 * 28, dtype=float).reshape(2, 3, 28, 28)
    wanted = x.sum(1).reshape(2, 14, 2, 14, 2).sum((2, 4)).reshape(2, -1)
    np.testing.assert_allclose(units.sums({"x": x}), wanted)


def test_channels_last_and_a_side_that_does_not_divide():
    units = make_units(data_of(np.zeros((1, 10, 7, 3), np.float32)), "patches", 4)
    assert units.count == 3 * 2
    gone = units.removed("x", np.array([0]), np.array([[False, True, False, False, False, False]]))
    assert np.broadcast_to(gone, (1, 10, 7, 3)).sum() == 4 * 3 * 3
    assert gone[0, :4, 4:].all()


def test_series_are_cut_along_the_open_axis_else_the_longer():
    x = np.zeros((1, 40, 60), np.float32)
    assert make_units(data_of(x, ("N", "T", 60)), "auto", None).text == "segments of 2 along axis 1"
    assert make_units(data_of(x), "auto", None).text == "segments of 3 along axis 2"
    assert make_units(data_of(x), "auto", 30).count == 2
    assert make_units(data_of(np.zeros((1, 28, 28), np.float32)), "auto", None).text == "patches of 2 × 2"


def test_series_are_cut_along_the_axis_that_the_file_names():
    data = dataclasses.replace(data_of(np.zeros((1, 40, 60), np.float32)), time_axes={"x": 1})
    assert make_units(data, "auto", None).text == "segments of 2 along axis 1"


def test_a_table_has_features():
    units = make_units(data_of(np.zeros((3, 5), np.float32)), "auto", None)
    assert (units.count, units.text) == (5, "features")


def test_volumes_are_cut_into_cubes():
    units = make_units(data_of(np.zeros((1, 1, 14, 28, 21), np.float32)), "auto", None)
    assert units.text == "patches of 4 × 4 × 4" and units.count == 4 * 7 * 6
    gone = units.removed("x", np.array([0]), np.arange(units.count)[None] == 7 * 6 + 6 + 1)
    assert gone.sum() == 4**3 and gone[0, 0, 4:8, 4:8, 4:8].all()


def test_whole_numbers_are_ids_or_a_table():
    ids = np.array([[5, 6, 7]])
    assert make_units(data_of(ids), "auto", None).text == "features"
    assert make_units(data_of(ids, ("N", "T")), "auto", None).text == "tokens"
    assert input_kind(TensorSpec("input_ids", ids.dtype, ("N", 3)), ids) == "text"
    assert input_kind(TensorSpec("width", ids.dtype, ("N", 3)), ids) == "table"


def test_padding_is_no_token():
    ids = np.array([[5, 6, 7, 0], [8, 9, 0, 0]])
    units = make_units(data_of(ids, attention_mask=(ids != 0).astype(np.int64)), "auto", None)
    assert units.text == "tokens" and units.present.tolist() == [[True, True, True], [True, True, False]]
    sums = units.sums({"x": np.array([[1.0, 2, 3, 9], [4, 5, 9, 9]])})
    np.testing.assert_allclose(sums, [[1, 2, 3], [4, 5, 0]])
    gone = units.removed("x", np.array([1, 0]), np.ones((2, 3), bool))
    assert gone.tolist() == [[True, True, False, False], [True, True, True, False]]


def test_given_labels_may_differ_by_sample_and_leave_elements_out():
    labels = np.array([[[0, 0], [1, -1]], [[0, 1], [2, 2]]])
    units = make_units(data_of(np.zeros((2, 1, 2, 2), np.float32)), labels[:, None], None)
    assert units.present.tolist() == [[True, True, False], [True, True, True]]
    spread = units.spread(np.array([[1.0, 2, 3], [4, 5, 6]]))["x"]
    np.testing.assert_allclose(spread[:, 0], [[[1, 1], [2, 0]], [[4, 5], [6, 6]]])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("tokens", "is a picture: its units are auto, patches, superpixels, elements"),
        (np.zeros((5, 5), int), "does not broadcast"),
        (np.zeros((1, 1, 4, 4)), "whole numbers"),
        (np.full((1, 1, 4, 4), -2), "count from 0"),
        (np.full((1, 1, 4, 4), -1), "no part that can be removed"),
    ],
)
def test_units_that_do_not_fit(wanted, message):
    with pytest.raises(InputError, match=message):
        make_units(data_of(np.zeros((2, 1, 4, 4), np.float32)), wanted, None)
