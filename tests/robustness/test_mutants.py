"""Mutants of small models: refused with a word of our own, or explained with the outputs that they had."""

from __future__ import annotations

import os

import pytest

from onnxlrp.errors import InvalidModelError
from tests.robustness.bases import BASES
from tests.robustness.judge import EXPLAINED, FAULTS, REFUSED, REFUSED_RUNS, judge
from tests.robustness.mutate import mutant

COUNT = 500
_PARTS = 10

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each mutant runs in a process that is forked")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(_PARTS))
def test_mutants(part):
    """No mutant ends the interpreter, raises what is not ours, or changes outputs."""
    size = COUNT // _PARTS
    found = {seed: judge(mutant(seed)[1]) for seed in range(part * size, (part + 1) * size)}
    assert {seed: verdict for seed, verdict in found.items() if verdict.outcome in FAULTS} == {}
    assert {EXPLAINED, REFUSED} <= {verdict.outcome for verdict in found.values()}


@pytest.mark.parametrize("make", BASES, ids=lambda make: make.__name__)
def test_what_they_are_made_of_is_explained(make):
    assert judge(make().SerializeToString()).outcome == EXPLAINED


def test_the_same_seed_makes_the_same_mutant():
    assert [mutant(seed) for seed in range(20)] == [mutant(seed) for seed in range(20)]


def test_a_fault_is_seen(monkeypatch):
    """Each kind that a conversion can end in is told from the others."""
    raw = BASES[0]().SerializeToString()

    def outcome(action):
        monkeypatch.setattr("onnxlrp.convert", action)
        return judge(raw).outcome

    def fail(error):
        def raise_it(_):
            raise error

        return raise_it

    assert outcome(fail(InvalidModelError("no"))) == REFUSED_RUNS
    assert outcome(fail(KeyError("no"))) == "traceback"
    assert outcome(fail(AssertionError("no"))) == "assertion"
    assert outcome(fail(MemoryError())) == "out of memory"
    assert outcome(lambda _: os.abort()) == "the interpreter died"
