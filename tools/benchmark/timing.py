"""Seconds of several programs, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Program = Callable[[], object]

PAUSE = 0.3
"""Seconds between programs: onnxruntime's and torch's threads spin on for a while, into the time of who runs next."""
LEAST, MOST = 0.5, 20
"""A turn ends after so many seconds (and three runs), or so many runs."""


def interleaved(programs: Mapping[str, Program], rounds: int, pause: float = PAUSE) -> dict[str, list[float]]:
    """Per program its seconds in every round; the machine's slow and fast times meet all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, run in programs.items():
            time.sleep(pause)
            seconds[name].append(turn(run))
    return seconds


def turn(run: Program) -> float:
    """Seconds of one run: the median of several in a row, the caches warm."""
    first = _once(run)
    if first > 2 * LEAST:
        return first  # long against what waking the threads and filling the caches takes
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < LEAST and len(seconds) < MOST):
        seconds.append(_once(run))
    return statistics.median(seconds)


def _once(run: Program) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median of the rounds' ratios: what the machine did to a round it did to both."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
