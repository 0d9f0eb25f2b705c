"""The garbage collector is paused during a conversion, and is what it was afterwards."""

from __future__ import annotations

import gc

import pytest

import onnxlrp
from onnxlrp.collector import paused_collector


def test_it_is_on_again_after_an_error():
    assert gc.isenabled()
    with pytest.raises(onnxlrp.errors.InvalidModelError):
        onnxlrp.convert(b"no model")
    assert gc.isenabled()


def test_overlapping_pauses_end_in_any_order():
    first, second = paused_collector(), paused_collector()
    first.__enter__()
    second.__enter__()
    assert not gc.isenabled()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
