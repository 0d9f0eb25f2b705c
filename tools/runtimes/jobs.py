"""Jobs for a runtime: a file with the calls to make on it, written as JSON, and the answers that it gave.

A runtime is a program in a process of its own, which reads `job-I.json` and writes `answer-I.json` for each I in turn.
A job that the process does not survive, or that takes too long, is answered in its place, and the process starts again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tools.runtimes import tensors

_POLL = 0.05
"""Seconds between two looks for an answer."""


@dataclasses.dataclass(frozen=True)
class Call:
    """One run of a session: what is fed, and the outputs that are asked for."""

    feeds: Mapping[str, np.ndarray]
    fetch: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Job:
    """A model's file and the calls to make on one session of it."""

    model: Path
    calls: Sequence[Call]


@dataclasses.dataclass(frozen=True)
class Answer:
    """Outputs of each call by name; a text in the place of one that failed, or of all if the file did not load."""

    calls: Sequence[Mapping[str, np.ndarray] | str]

    @property
    def error(self) -> str | None:
        """The first error, or None."""
        return next((call for call in self.calls if isinstance(call, str)), None)


def write(folder: Path, jobs: Sequence[Job]) -> None:
    """Write the jobs, and remove the answers of earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, job in enumerate(jobs):
        calls = [
            {"feeds": {name: tensors.to_json(array) for name, array in call.feeds.items()}, "fetch": list(call.fetch)}
            for call in job.calls
        ]
        (folder / f"job-{index}.json").write_text(json.dumps({"model": str(job.model), "calls": calls}))
        answer_file(folder, index).unlink(missing_ok=True)


def answer_file(folder: Path, index: int) -> Path:
    """Name the file of an answer."""
    return folder / f"answer-{index}.json"


def read(folder: Path, index: int, calls: int) -> Answer:
    """Read an answer; `calls` is the number of calls of its job."""
    told: dict[str, Any] = json.loads(answer_file(folder, index).read_text(encoding="utf-8"))
    if "error" in told:
        return Answer([told["error"]] * calls)
    return Answer([_outputs(call) for call in told["calls"]])


def _outputs(call: dict[str, Any]) -> Mapping[str, np.ndarray] | str:
    if "error" in call:
        return str(call["error"])
    return {name: tensors.from_json(tensor) for name, tensor in call["outputs"].items()}


def run(
    folder: Path, jobs: Sequence[Job], start: Callable[[Path, int, int], subprocess.Popen[Any]], limit: float
) -> list[Answer]:
    """Have every job answered. `start(folder, first, count)` begins a process at a job; `limit` is in seconds a job."""
    write(folder, jobs)
    first = 0
    while first < len(jobs):
        process = start(folder, first, len(jobs))
        try:
            first, why = _follow(folder, first, len(jobs), process, limit)
        finally:
            _end(process)
        if why is not None:
            _answer_for(folder, first, why)
            first += 1
    return [read(folder, index, len(job.calls)) for index, job in enumerate(jobs)]


def _follow(
    folder: Path, first: int, count: int, process: subprocess.Popen[Any], limit: float
) -> tuple[int, str | None]:
    """Wait for answers; return the number of the first job without one, and why there is none."""
    since = time.monotonic()
    while first < count:
        if answer_file(folder, first).exists():
            first, since = first + 1, time.monotonic()
        elif process.poll() is not None and not answer_file(folder, first).exists():
            return first, f"the process ended with status {process.returncode}"
        elif time.monotonic() - since > limit:
            return first, f"no answer within {limit:.0f} s"
        else:
            time.sleep(_POLL)
    return first, None


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process, which leads a group of its own, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answer_for(folder: Path, index: int, why: str) -> None:
    answer_file(folder, index).write_text(json.dumps({"error": why}))
