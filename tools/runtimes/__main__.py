"""Run explained files in every runtime that PyPI and npm give, and compare outputs and relevance with onnxruntime.

`python -m tools.runtimes` runs all subjects in all runtimes, for every profile that `convert` has, and writes
results.json, results.md and the table of docs/portability.md. With `--file MODEL.onnx` it converts and runs a file of
your own, and prints the verdicts. `--runtimes`, `--subjects` and `--profiles` choose; then, and with `--quick`, nothing
is written. Packages are installed into a temporary folder, or into `--packages`, where they stay.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
from pathlib import Path

import numpy as np

import onnxlrp
from tools.runtimes import exports, measure, packages, subjects, verdicts
from tools.runtimes.engines import ENGINES, Engine, missing


def main(given: list[str] | None = None) -> int:
    """Measure, print and perhaps write."""
    arguments = _parse(given)
    with tempfile.TemporaryDirectory() as room:
        folder = arguments.packages or Path(room) / "packages"
        engines = [engine for engine in measure.named(arguments.runtimes) if _is_here(engine)]
        npm = {engine.npm for engine in engines}
        packages.install(folder, pip=any(not e.npm and e.package for e in engines), npm=True in npm)
        prepared = _prepared(arguments, Path(room))
        rows = measure.measure(prepared, engines, folder, Path(room), arguments.limit, print)
    for row in rows:
        _show(row, arguments.whole)
    return 0


def _parse(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.runtimes", description=__doc__)
    parser.add_argument("--file", type=Path, nargs="+", help="models of your own, in the place of the subjects")
    parser.add_argument("--inputs", type=Path, help=".npz file with the inputs of --file (default: random numbers)")
    parser.add_argument("--composite", default="auto", help="composite for --file")
    parser.add_argument("--subjects", nargs="+", help="beginnings of the subjects' names")
    parser.add_argument("--runtimes", nargs="+", choices=[engine.name for engine in ENGINES])
    parser.add_argument("--profiles", nargs="+", default=list(profiles()), help="profiles of convert")
    parser.add_argument("--target-input", default="required", choices=("required", "optional", "none"))
    parser.add_argument("--packages", type=Path, help="folder where the runtimes are installed, or will be")
    parser.add_argument("--limit", type=float, default=120, help="seconds that one file may take in a runtime")
    parser.add_argument("--whole", action="store_true", help="print whole messages of refusals")
    parser.add_argument("--quick", action="store_true", help="few subjects, in under a minute")
    return parser.parse_args(given)


def profiles() -> tuple[str, ...]:
    """List the profiles that `convert` knows."""
    has = "profile" in inspect.signature(onnxlrp.convert).parameters
    return ("onnxruntime", "portable") if has else ("onnxruntime",)


def _is_here(engine: Engine) -> bool:
    without = missing(engine)
    if without:
        print(f"{engine.title}: not measured, because {without} is not on this machine")
    return without is None


def _prepared(arguments: argparse.Namespace, room: Path) -> list[measure.Prepared]:
    """Convert all requested subjects under all requested profiles, and say which are refused."""
    found = []
    for subject in _subjects(arguments):
        for profile in arguments.profiles:
            one = measure.prepare(subject, profile, room, target_input=arguments.target_input)
            if isinstance(one, str):
                print(f"{subject.title} ({profile}): not converted: {' '.join(one.split())[:300]}")
            else:
                found.append(one)
    return found


def _subjects(arguments: argparse.Namespace) -> list[subjects.Subject]:
    if arguments.file:
        inputs = None if arguments.inputs is None else dict(np.load(arguments.inputs))
        return [subjects.of_file(path, inputs, arguments.composite) for path in arguments.file]
    chosen = [
        one
        for one in [*subjects.bundled(), *exports.exports()]
        if one.title.startswith(tuple(arguments.subjects or ("",)))
    ]
    return [one for one in chosen if one.name in subjects.FEW] if arguments.quick else chosen


def _show(row: measure.Row, whole: bool) -> None:
    print(f"{row.subject.title} ({row.profile}), onnxruntime's own rounding {row.noise:.0e}")
    for name, verdict in row.verdicts.items():
        far = f" {verdict.distance:.0e}" if verdict.word in (verdicts.RIGHT, verdicts.WRONG) else ""
        cause = verdict.cause if whole else verdicts.shortened(verdict.cause)
        print(f"  {name:11} {verdict.word}{far} {cause}")


if __name__ == "__main__":
    raise SystemExit(main())
