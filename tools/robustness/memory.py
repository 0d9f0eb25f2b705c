"""Memory stays flat over many calls of one explainer and over many conversions."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np

import onnxlrp
from tests.test_threads import MODELS
from tools.robustness.models import SMALL, bundled, explainer, random_inputs
from tools.robustness.part import Found

_MOST = 8.0
"""Most megabytes that the later four fifths may add to the first; a leak of one array a call adds more."""


def run(quick: bool, folder: Path) -> Found:
    """Let memory settle over a fifth of the work, and measure the growth during the rest."""
    calls, conversions = (200, 10) if quick else (60_000, 400)
    by_calls = _growth(_caller(), calls)
    by_conversions = _growth(_converter(), conversions)
    faults = [f"{words} added {megabytes:.1f} MB" for words, megabytes in
              (("calls", by_calls), ("conversions", by_conversions)) if megabytes > _MOST]  # fmt: skip
    result = f"{by_calls:+.1f} MB over the later 80 % of the calls, {by_conversions:+.1f} MB over that of conversions"
    return Found(f"{calls:,} calls, {conversions:,} conversions", result, tuple(faults))


def _growth(work: Callable[[int], object], times: int) -> float:
    """Measure the megabytes that this process gains after a fifth of the turns."""
    before = 0.0
    for turn in range(times):
        if turn == times // 5:
            before = _resident()
        work(turn)
    return _resident() - before


def _caller() -> Callable[[int], object]:
    """Make a function that calls explainers in turn, each with batches of several sizes."""
    rng, jobs = np.random.default_rng(9), []
    for name in SMALL:
        explained = explainer(bundled(name))
        jobs += [(explained, random_inputs(explained, rows, rng)) for rows in (1, 4, 16)]
    return lambda turn: jobs[turn % len(jobs)][0](jobs[turn % len(jobs)][1])


def _converter() -> Callable[[int], object]:
    sources = [make() for make in MODELS.values()]
    return lambda turn: onnxlrp.convert(sources[turn % len(sources)]).to_proto()


def _resident() -> float:
    gc.collect()
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
