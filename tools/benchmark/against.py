"""Time what the working tree emits against what a revision emits, in turns: `python -m tools.benchmark --against main`.

Times are processor seconds of one thread, which another program on the machine changes little. Every round runs both
models; the interval is that of the median of the rounds' ratios, by their ranks.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console

from tools.benchmark import models, sessions
from tools.benchmark.conversions import Converter
from tools.benchmark.row import Options, source_file
from tools.benchmark.timing import Program, in_turns, ratios
from tools.net import revision

CONFIDENCE = 0.95
Times = Mapping[str, Sequence[float]]
"""Seconds of every round, for "old" and "new"."""
SLOWER = 1.03
"""Ratio above which the whole interval of a row must lie for it to count as slower."""
HEAD = """\
| model | batch | composite | {old} ms | now ms | now / {old} | {old} converts s | now s | now / {old} |
|---|---|---|---|---|---|---|---|---|
"""
LEGEND = """
Milliseconds and seconds are processor time of one thread, medians of {rounds} rounds in which both states have their
turn; ratios are medians of the rounds' ratios, with the interval that holds the true median in {share:.0%} of cases.
"""


def main(wanted: Iterable[tuple[str, int, str]], name: str, options: Options, equal_too: bool, console: Console) -> int:
    """Measure these rows of model, batch and composite, and write the table; return 1 if a row is slower or failed.

    With `equal_too`, models with one and the same graph are run as well, which shows how much the machine alone varies.
    """
    commit = revision.commit(name)
    lines, bad = [HEAD.format(old=commit[:8])], 0
    console.print(lines[0].rstrip(), markup=False, soft_wrap=True)
    with Converter(revision.package(commit)) as old, Converter(revision.ROOT) as new:
        states = {"old": old, "new": new}
        for model, batch, composite in wanted:
            line, fine = _row(states, model, batch, composite, options, equal_too)
            lines.append(f"| {Path(model).stem} | {batch} | `{composite}` | {line} |\n")
            bad += not fine
            console.print(lines[-1].rstrip(), markup=False, soft_wrap=True)
    path = Path(options.folder) / f"against-{commit[:8]}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines) + LEGEND.format(rounds=options.rounds, share=coverage(options.rounds)))
    console.print(str(path), markup=False)
    return int(bad > 0)


def _row(states: Mapping[str, Converter], *of_row: Any) -> tuple[str, bool]:
    """Make the cells of a row, and decide whether it is fine; an error becomes its text, and later rows still run."""
    try:
        found = measure(states, *of_row)
    except Exception as error:
        return f"{type(error).__name__}: {error}".partition("\n")[0], False
    return " | ".join(cells(found)), not any(times is not None and is_slower(times) for times in found.values())


def measure(
    states: Mapping[str, Converter], name: str, batch: int, composite: str, options: Options, equal_too: bool
) -> dict[str, Times | None]:
    """Measure seconds of every round by state: of a run ("run", None if the graphs are equal) and of a conversion."""
    x = models.find(name).sample(batch)
    source, _ = source_file(models.find(name), name, x, options)
    precision = "model" if options.half else "float32"
    with tempfile.TemporaryDirectory() as folder:
        files = {key: Path(folder) / f"{key}.onnx" for key in states}
        for key, state in states.items():
            state.save(source, composite, precision, files[key])
        equal = not equal_too and _same_graph(*files.values())
        run = None if equal else in_turns(dict(_runs(files, x)), options.rounds, time.process_time)
    return {"run": run, "conversion": _conversions(states, source, composite, precision, options.rounds)}


def _runs(files: Mapping[str, Path], x: np.ndarray) -> Iterator[tuple[str, Program]]:
    for key, path in files.items():
        session = sessions.create(path, "cpu", threads=1)
        yield key, sessions.plain(session, sessions.feed(session, x))


def _conversions(states: Mapping[str, Converter], source: Path, composite: str, precision: str, rounds: int) -> Times:
    """Measure seconds of conversions by state; the state that began a round ends the next."""
    found: dict[str, list[float]] = {key: [] for key in states}
    for index in range(rounds):
        for key in list(states)[:: -1 if index % 2 else 1]:
            found[key].append(states[key].seconds(source, composite, precision))
    return found


def _same_graph(a: Path, b: Path) -> bool:
    """Compare bytes of the graphs, names included; metadata of the model may differ."""
    first, second = (onnx.load(path).graph.SerializeToString(deterministic=True) for path in (a, b))
    return first == second


# ----------------------------------------------------------------------------------------------------------- intervals


def cells(found: Mapping[str, Times | None]) -> Iterator[str]:
    """Yield old, new and their ratio, for runs in milliseconds and for conversions in seconds."""
    for key, unit, digits in (("run", 1000, 2), ("conversion", 1, 3)):
        times = found[key]
        if times is None:
            yield from ("", "", "the same graph")
            continue
        yield from (f"{unit * statistics.median(times[state]):.{digits}f}" for state in ("old", "new"))
        low, middle, high = interval(ratios(times["new"], times["old"]))
        mark = " **slower**" if is_slower(times) else ""
        yield f"{middle:.3f} ({low:.3f}–{high:.3f}){mark}"


def is_slower(times: Times) -> bool:
    """Decide whether the new state is slower beyond its interval."""
    return interval(ratios(times["new"], times["old"]))[0] > SLOWER


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower end of the interval of the median, the median, and the upper end."""
    ordered, k = sorted(values), _rank(len(values))
    return ordered[k], statistics.median(ordered), ordered[-1 - k]


def coverage(count: int) -> float:
    """Compute how often the interval of `count` values holds the true median: below 6 values less than CONFIDENCE."""
    return 1 - 2 * _tail(count, _rank(count))


def _rank(count: int) -> int:
    """Number of values below the interval, and of values above it."""
    return max((k for k in range((count + 1) // 2) if 1 - 2 * _tail(count, k) >= CONFIDENCE), default=0)


def _tail(count: int, k: int) -> float:
    """Probability that at most k of `count` values lie below the true median."""
    return sum(math.comb(count, i) for i in range(k + 1)) / 2**count
