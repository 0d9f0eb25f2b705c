"""Timing of several programs, side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

Program = Callable[[], object]
Clock = Callable[[], float]

PAUSE = 0.3
"""Seconds between programs: onnxruntime's and torch's threads spin on for a while and would slow the next one."""
CLOCKS: Mapping[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
LEAST, MOST = 0.5, 20
"""Seconds after which a turn ends (with at least three runs), and most runs of a turn."""


def interleaved(programs: Mapping[str, Program], rounds: int, pause: float = PAUSE) -> dict[str, list[float]]:
    """Measure the seconds of each program in every round, so that slow times of the machine affect all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, run in programs.items():
            time.sleep(pause)
            seconds[name].append(turn(run))
    return seconds


def in_turns(programs: Mapping[str, Program], rounds: int, clock: Clock) -> dict[str, list[float]]:
    """Measure like `interleaved`, by another clock and without pauses; the program that began a round ends the next."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for index in range(rounds):
        for name in list(programs)[:: -1 if index % 2 else 1]:
            seconds[name].append(turn(programs[name], clock))
    return seconds


def turn(run: Program, clock: Clock = time.perf_counter) -> float:
    """Measure the seconds of one run: the median of several in a row, with warm caches."""
    first = _once(run, clock)
    if first > 2 * LEAST:
        return first  # far longer than waking the threads and filling the caches
    seconds: list[float] = []
    while len(seconds) < 3 or (sum(seconds) < LEAST and len(seconds) < MOST):
        seconds.append(_once(run, clock))
    return statistics.median(seconds)


def _once(run: Program, clock: Clock) -> float:
    started = clock()
    run()
    return clock() - started


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the rounds' ratios: conditions of the machine in a round affect both programs."""
    return statistics.median(ratios(over, under))


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio of every round."""
    return [a / b for a, b in zip(over, under, strict=True)]
