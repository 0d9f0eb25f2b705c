"""One explainer serves 32 threads, and 8 threads convert at once, each with the bits and bytes of one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.test_threads import MODELS, at_once, converted
from tools.robustness.models import SMALL, bundled, explainer, random_inputs
from tools.robustness.part import Found

_CALLERS, _CONVERTERS = 32, 8


def run(quick: bool, folder: Path) -> Found:
    """Call, then convert, in many threads."""
    names = SMALL[:1] if quick else SMALL
    calls, faults = (5, []) if quick else (100, [])
    for name in names:
        faults += [f"{name}: {error!s:.200}" for error in _call(name, calls)]
    conversions = 1 if quick else 30
    faults += [f"conversion: {error!s:.200}" for error in _convert(conversions)]
    made = f"{_CALLERS * calls * len(names):,} calls, {_CONVERTERS * conversions} conversions"
    return Found(made, "all equal to the last bit" if not faults else f"{len(faults)} threads differ", tuple(faults))


def _call(name: str, times: int) -> list[BaseException]:
    """Explain batches of different sizes in every thread."""
    explained, rng = explainer(bundled(name)), np.random.default_rng(8)
    batches = [random_inputs(explained, rows, rng) for rows in (1, 2, 3, 5, 8, 13, 16)]
    wanted = [explained(batch).relevance for batch in batches]

    def work(index: int) -> None:
        for turn in range(times):
            place = (index + turn) % len(batches)
            found = explained(batches[place]).relevance
            for key, value in wanted[place].items():
                assert found[key].tobytes() == value.tobytes(), f"relevance of {key} differs"

    return at_once(work, _CALLERS)


def _convert(times: int) -> list[BaseException]:
    jobs = [(make(), composite) for make in MODELS.values() for composite in ("auto", "attn_lrp")]
    wanted = [converted(*job) for job in jobs]

    def work(index: int) -> None:
        for turn in range(times):
            place = (turn * 3 + index) % len(jobs)
            assert converted(*jobs[place]) == wanted[place], f"job {place} differs"

    return at_once(work, _CONVERTERS)
