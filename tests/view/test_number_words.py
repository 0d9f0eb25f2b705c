"""Numbers as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.view.number_words import significant, value_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.31428, "0.3143"),
        (-0.0, "0"),
        (1234.56, "1235"),
        (9999.6, "10,000"),
        (-1203456.7, "-1,203,457"),
        (2e12, "2e+12"),
        (1e-7, "1e-07"),
    ],
)
def test_an_amount_of_money_has_no_exponent(number, words):
    assert significant(number) == words


def test_fewer_digits():
    assert significant(0.31428, 3) == "0.314" and significant(54321.0, 3) == "54,321"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.float32(57.18), "57.18"),
        (94103.0, "94103"),
        (1250000.0, "1250000"),
        (7, "7"),
        ("month", "month"),
        (np.float32("nan"), "missing"),
        (None, "missing"),
    ],
)
def test_a_value_is_what_the_table_says(value, words):
    assert value_words(value) == words
