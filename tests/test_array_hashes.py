"""Summaries of arrays: what they are made from, and how exact their sums are."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from onnxlrp.array_hashes import ArrayHash, array_bytes, hash_alone, summary_of

VALUES = np.random.default_rng(0).normal(size=(4, 300)) * 30


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_])
def test_hash_and_sums(dtype):
    array = VALUES.astype(dtype)
    found = summary_of(array)
    assert found.sha256 == hashlib.sha256(array.tobytes()).hexdigest()
    assert found.sum == pytest.approx(math.fsum(array.reshape(-1).tolist()), rel=1e-12)
    assert found.absolute_sum == pytest.approx(math.fsum(map(abs, array.reshape(-1).tolist())), rel=1e-12)


@pytest.mark.parametrize("part", [VALUES.T, VALUES[:, ::2], VALUES[::-1], VALUES[0, 0], VALUES[:0]])
def test_bytes_are_those_of_the_array_in_its_order(part):
    assert array_bytes(part).tobytes() == part.tobytes()


def test_bytes_of_other_types():
    """Dates, records and the other byte order."""
    for array in (np.array(["2026-01-02"], "M8[D]"), np.zeros(2, "i4,f8"), np.arange(3, dtype=">f4")):
        assert array_bytes(array).tobytes() == array.tobytes()
    assert hash_alone(np.arange(3, dtype=">f4")) == hash_alone(np.arange(3, dtype="<f4"))


def test_parts_are_the_whole():
    hashed = ArrayHash()
    hashed.add(VALUES[:1])
    hashed.add(VALUES[1:])
    found, whole = hashed.summary(), summary_of(VALUES)
    assert (found.sha256, found.shape) == (whole.sha256, whole.shape)
    assert found.sum == pytest.approx(whole.sum)


def test_the_least_integer_has_an_absolute_value():
    assert summary_of(np.array([-128], np.int8)).absolute_sum == 128


def test_no_sums_of_numbers_that_stay_secret():
    found = hash_alone(VALUES)
    assert found.sum is found.absolute_sum is found.values is None
    assert found.sha256 == summary_of(VALUES).sha256
