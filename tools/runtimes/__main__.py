"""Run explained files in every runtime that PyPI and npm give, and compare outputs and relevance with onnxruntime.

`python -m tools.runtimes` runs all subjects in all runtimes, for every profile that `convert` has, and writes
results.json, results.md and the table of docs/portability.md. With `--file MODEL.onnx` it converts and runs a file of
your own, and prints the verdicts. `--runtimes`, `--subjects` and `--profiles` choose; then, and with `--quick` or
`--check`, nothing is written but with `--update`. Packages are installed into a temporary folder, or into `--packages`,
where they stay.
The exit status is 1 if a file of the portable profile is silently wrong anywhere, if a program that `onnxlrp snippet`
writes for JavaScript fails, and with `--check` if a verdict is not that of results.json.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
from pathlib import Path

import numpy as np

import onnxlrp
from tools.runtimes import exports, measure, optional_target, packages, results, snippet_runs, subjects, verdicts
from tools.runtimes.engines import ENGINES, Engine, missing


def main(given: list[str] | None = None) -> int:
    """Measure, print, and write or compare."""
    arguments = _parse(given)
    with tempfile.TemporaryDirectory() as room:
        found = _measured(arguments, Path(room))
    if arguments.check:
        different = results.changes(found, results.read())
        print(*different, f"{len(different)} verdicts differ from results.json", sep="\n")
        return int(bool(different or found["failed_snippets"]))
    if arguments.update:
        found = results.updated(results.read(), found)
    if arguments.update or _is_whole(arguments):
        results.write(found)
        return int(_is_wrong(found))
    return 0


def _measured(arguments: argparse.Namespace, room: Path) -> results.Results:
    """Install, convert and run what the arguments ask for, and print each verdict."""
    folder = arguments.packages or room / "packages"
    engines = [engine for engine in measure.named(arguments.runtimes) if _is_here(engine)]
    packages.install(folder, pip=any(not e.npm and e.package for e in engines), npm=any(e.npm for e in engines))
    refused: list[tuple[str, str, str]] = []
    prepared = _prepared(arguments, room, refused)
    rows = measure.measure(prepared, engines, folder, room, arguments.limit, _say)
    for row in rows:
        _show(row, arguments.whole)
    fates = {} if arguments.file else optional_target.fates(engines, folder, room, arguments.limit)
    for name, fate in fates.items():
        _say(f"a class fed as an optional input, {name}: {fate}")
    failed = [] if arguments.file else snippet_runs.failures(engines, folder / "npm", room)
    for line in failed:
        _say(line)
    return results.gathered(rows, refused, fates, engines) | {"failed_snippets": failed}


def _is_whole(arguments: argparse.Namespace) -> bool:
    """Decide whether nothing was left out, so that the results may be written."""
    chosen = arguments.file or arguments.subjects or arguments.runtimes or arguments.quick
    return not chosen and arguments.target_input == "required" and tuple(arguments.profiles) == profiles()


def _is_wrong(found: results.Results) -> bool:
    """Decide whether a snippet fails, or a file of the portable profile is silently wrong in some runtime."""
    rows = [row for row in found["rows"] if row["profile"] == "portable"]
    return bool(found["failed_snippets"]) or any(
        one[0] == verdicts.WRONG for row in rows for one in row["verdicts"].values()
    )


def _say(line: str) -> None:
    print(line, flush=True)


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
    parser.add_argument("--quick", action="store_true", help="few subjects")
    parser.add_argument("--update", action="store_true", help="write what was measured into the earlier results")
    parser.add_argument("--check", action="store_true", help="compare with results.json, and write nothing")
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


def _prepared(arguments: argparse.Namespace, room: Path, refused: list[tuple[str, str, str]]) -> list[measure.Prepared]:
    """Convert all requested subjects under all requested profiles; those that are refused are added to a list."""
    found = []
    for subject in _subjects(arguments):
        for profile in arguments.profiles:
            one = measure.prepare(subject, profile, room, target_input=arguments.target_input)
            if isinstance(one, str):
                refused.append((subject.title, profile, " ".join(one.split())[:300]))
                _say(f"{subject.title} ({profile}): not converted: {refused[-1][-1]}")
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
