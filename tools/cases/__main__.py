"""Runner: runs every case, or the named ones, and prints a line each; exit status 0 only if all figures hold."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import pkgutil
import time
from pathlib import Path

HELPERS = {"lib", "__main__"}


def names() -> list[str]:
    """List every case by the name of its module."""
    return [m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name not in HELPERS]


def main(given: list[str] | None = None) -> int:
    """Run cases; return 1 if the figure of any does not hold."""
    parser = argparse.ArgumentParser("python -m tools.cases", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="NAME", help=f"one of {', '.join(names())}; default: all")
    parser.add_argument("--tables", action="store_true", help="print the whole table of every case")
    arguments = parser.parse_args(given)
    if unknown := set(arguments.cases) - set(names()):
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    failed = [name for name in arguments.cases or names() if run(name, arguments.tables)]
    return int(bool(failed))


def run(name: str, tables: bool) -> int:
    """Run one case and print its line, and the rows that do not hold."""
    start, printed = time.perf_counter(), io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = importlib.import_module(f"tools.cases.{name}").main()
    rows = printed.getvalue().splitlines()
    print(f"{name:<26} {'wrong' if status else 'holds'}  {time.perf_counter() - start:6.1f} s", flush=True)
    for row in rows if tables else [r for r in rows if "<<<" in r]:
        print(f"    {row}")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
