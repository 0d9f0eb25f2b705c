"""Try again everything that must hold for models and data from strangers, at the scale of a service.

`python -m tools.robustness` runs every part, each in a process of its own, prints its time and writes the page
docs/robustness.md. `--part NAME …` runs some. `--mutants N` runs the part of mutants alone, up to seed N; it continues
from where an earlier call stopped, and alone takes longer than ten minutes. The exit status is 1 if anything fails.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import inspect
import tempfile
import time
from pathlib import Path
from types import ModuleType

from tools.robustness import mutants, page
from tools.robustness.children import ChildDied, call_in_child
from tools.robustness.part import Found

ROOT = Path(__file__).parents[2]
PARTS = ("arrays", "files", "ways", "kills", "disk", "threads", "memory", "seeds", "finite", "terminal")
_MUTANTS = "mutants"
_SHOWN = 20
"""Most faults of a part that are printed."""


def main(given: list[str] | None = None) -> int:
    """Run the requested parts, and report."""
    arguments = _parse(given)
    names = arguments.part or _asked(arguments)
    rows, held = {}, True
    for name in PARTS:
        if name in names:
            rows[name], fine = _run(name, arguments.quick)
            held &= fine
    section = None
    if _MUTANTS in names:
        section, fine = mutants.run(mutants.DEFAULT if arguments.mutants is None else arguments.mutants, arguments.log)
        held &= fine
    if arguments.page is not None:
        page.write(arguments.page, list(PARTS), rows, section)
    return int(not held)


def _asked(arguments: argparse.Namespace) -> list[str]:
    """List the parts that run if none is named."""
    if arguments.mutants is not None:
        return [_MUTANTS]
    return list(PARTS) if arguments.quick else [*PARTS, _MUTANTS]


def _parse(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.robustness", description=__doc__)
    parser.add_argument("--part", nargs="+", choices=[*PARTS, _MUTANTS], help="run these parts only")
    parser.add_argument("--mutants", type=int, metavar="N", help="how many mutants, from seed 0 on; runs no other part")
    parser.add_argument("--log", type=Path, default=mutants.LOG, help="file of outcomes of mutants by seed")
    parser.add_argument("--page", type=Path, help="the page to write (default: docs/robustness.md; none with --quick)")
    parser.add_argument("--quick", action="store_true", help="less of each part in under a minute, no mutants")
    arguments = parser.parse_args(given)
    if arguments.page is None and not arguments.quick:
        arguments.page = ROOT / "docs" / "robustness.md"
    return arguments


def _run(name: str, quick: bool) -> tuple[page.Row, bool]:
    """Run one part in a process of its own, so that its memory, or its death, does not affect another."""
    module = importlib.import_module(f"tools.robustness.{name}")
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = call_in_child(functools.partial(module.run, quick, Path(folder)))
        except ChildDied as error:
            found = Found("the part", "ended before its result", (str(error),))
    seconds = time.perf_counter() - start
    print(f"{name}: {found.tried}: {found.result} ({seconds:.1f} s)", flush=True)
    for fault in found.faults[:_SHOWN]:
        print(f"  {fault}", flush=True)
    return page.Row(name, _promise(module), found.tried, found.result, seconds), not found.faults


def _promise(module: ModuleType) -> str:
    """Return the first sentence of a part's docstring, which says what it promises."""
    return " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split()).rstrip(".")


if __name__ == "__main__":
    raise SystemExit(main())
