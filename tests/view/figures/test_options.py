from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import InputError
from tests.view.figures.parts import explained


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 1.5}, "sample is a whole number from 0 on, not 1.5"),
        ({"samples": "0"}, "sample is a whole number"),
        ({"samples": -1}, "sample is a whole number from 0 on"),
        ({"top": 0}, "top is a whole number from 1 on, not 0"),
        ({"top": 1.5}, "top is a whole number"),
        ({"sampling_rate": 0}, "time steps a second, above 0, not 0"),
        ({"sampling_rate": "fast"}, "time steps a second"),
        ({"sampling_rate": float("nan")}, "time steps a second"),
        ({"time_axis": 0}, "axes 1 to 2 of 'x', not 0"),
        ({"time_axis": 3}, "axes 1 to 2 of 'x', not 3"),
        ({"time_axis": 1.5}, "axes 1 to 2 of 'x'"),
    ],
)
def test_options_out_of_their_range(options, words):
    done = explained({"x": np.ones((1, 2, 30), np.float32)})
    with pytest.raises(InputError, match=words):
        done.plot("series", **options)


@pytest.mark.parametrize("samples", [1, np.int64(1), [1], np.array([1]), range(1, 2)])
def test_samples_in_every_form(samples):
    explained({"x": np.ones((2, 2, 30), np.float32)}).plot(samples=samples)
