"""Applications from the literature, from nothing to figures: `python -m tools.literature NAME`; without a name all.

A child process trains and exports, and computes what other libraries say. This process explains: it imports neither
torch nor scikit-learn, and fails if they are there in the end.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import tempfile
import time
from pathlib import Path

from tools.literature import apart, pages
from tools.literature.package_files import MissingData

NAMES = ("el_nino", "additive", "sentiment", "churn", "picture_rules", "video")


def main(words: list[str]) -> int:
    """Run the examples of these names; returns 1 if the data of one are not installed."""
    arguments = _arguments(words)
    numbers, missing = {}, 0
    for name in arguments.names or NAMES:
        try:
            numbers[name] = run(name, arguments.folder, short=arguments.short)
        except MissingData as error:
            print(f"{name}: {error}", file=sys.stderr)
            missing = 1
    if arguments.json:
        print(json.dumps(numbers))
    return missing


def run(name: str, folder: Path | None, *, short: bool) -> dict[str, float]:
    """Train, explain and, unless `short`, write the page of one example; returns its numbers."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as empty:
        place = Path(empty) if folder is None else folder / name
        apart.trained(name, place, short=short)
        found = importlib.import_module(f"tools.literature.{name}").explain(place, short=short)
        apart.check_absent()
    print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    for mark, table in found.tables.items():
        print(f"\n{name}, {mark}\n{table}", file=sys.stderr)
    if not short:
        pages.write(name, found)
    return dict(found.numbers)


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tools.literature", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--short", action="store_true", help="less training and fewer rows; no page is written")
    parser.add_argument("--json", action="store_true", help="print the numbers for a program")
    parser.add_argument("--folder", type=Path, help="keep trained models and data in this folder")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
