"""Conversion of models on request, in a process that imports the package of one state of the project.

`python -m tools.benchmark.conversions` answers each line of JSON on its input with a line on its output: the seconds of
processor time that the conversion took. `Converter` is the other end.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tools.net.revision import check_imported, environment

LEAST, MOST = 0.5, 5
"""Seconds for which conversions are repeated, and most repetitions; the median counts."""


class Converter:
    """A process with the package of `place`; use it in a `with` statement, which ends it."""

    def __init__(self, place: Path) -> None:
        command = [sys.executable, "-m", "tools.benchmark.conversions"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=place, env=environment(place), **pipes)

    def __enter__(self) -> Converter:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def save(self, source: Path, composite: str, precision: str, path: Path) -> None:
        """Convert once and save. Raises RuntimeError with the process's message if that fails."""
        self._ask(source=str(source), composite=composite, precision=precision, path=str(path))

    def seconds(self, source: Path, composite: str, precision: str) -> float:
        """Convert, and return the seconds that it took."""
        return float(self._ask(source=str(source), composite=composite, precision=precision, path=None))

    def _ask(self, **job: str | None) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process that converts has ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["seconds"]


def main() -> None:
    """Answer until the input ends."""
    check_imported(Path.cwd())
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"seconds": _answer(json.loads(line))}
        except Exception as error:  # the other end shows it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def _answer(job: dict[str, Any]) -> float:
    import onnxlrp

    def convert() -> Any:
        return onnxlrp.convert(job["source"], job["composite"], precision=job["precision"])

    if job["path"] is not None:
        convert().save(job["path"])
        return 0.0
    seconds: list[float] = []
    while not seconds or (sum(seconds) < LEAST and len(seconds) < MOST):
        gc.collect()
        started = time.process_time()
        convert()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
