"""Conversion of large forests: `python -m tools.trees large` prints processor time, peak memory and bytes by size.

Forests of 0.1, 0.6 and 6 million nodes, grown as LightGBM grows them (300 leaves a tree, deep on one side), are written
to a temporary folder, as lists and as the tensors of ai.onnx.ml 5. Each is converted and saved by a process of its own,
whose greatest memory is what the system reports for it; what an earlier conversion of a tiny model needed is taken off
the time, and not off the memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = (0.1, 0.6, 6.0)
"""Millions of nodes."""
FORMS = ("lists", "classifier", "categories", "tensors")
_LEAVES = 300

_CONVERT = """
import json, resource, sys, time
import onnxlrp
from onnxlrp.operators import trees
from tools.growth import chain

source, target, game = sys.argv[1:]
onnxlrp.convert(chain(10))
options = {"composite": f"auto(trees={game!r})"} if game else {}
own, reverse = [0.0], trees._reverse

def timed(*arguments):
    start = time.process_time()
    result = reverse(*arguments)
    own[0] += time.process_time() - start
    return result

trees._reverse = timed
start = time.process_time()
explained = onnxlrp.convert(source, **options)
converted = time.process_time() - start
explained.save(target)
saved = time.process_time() - start - converted
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"convert": converted, "relevance": own[0], "save": saved, "peak": peak}))
"""
_WRITE = """
import sys
from pathlib import Path
from tools.trees import forests

form, trees, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
grown = forests.grow(trees, int(sys.argv[4]))
Path(path).write_bytes(forests.WRITERS[form](grown).SerializeToString())
"""


def _run(script: str, *arguments: object) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def row(folder: Path, form: str, millions: float, game: str) -> None:
    """Measure one file, and print its line of the table."""
    trees, source, target = round(millions * 1e6 / (2 * _LEAVES - 1)), folder / "source.onnx", folder / "explained.onnx"
    _run(_WRITE, form, trees, source, _LEAVES)
    found = json.loads(_run(_CONVERT, source, target, game))
    rest = found["convert"] - found["relevance"]
    times = " | ".join(f"{seconds:.2f}" for seconds in (found["convert"], rest, found["save"]))
    sizes = " | ".join(f"{path.stat().st_size / 1e6:.1f}" for path in (source, target))
    nodes = trees * (2 * _LEAVES - 1)
    print(f"| {form} | {nodes:,} | {times} | {found['peak'] / 1e9:.2f} | {sizes} |", flush=True)


def main(given: list[str] | None = None) -> int:
    """Print the table, and return the exit status."""
    parser = argparse.ArgumentParser("python -m tools.trees large", description=__doc__)
    parser.add_argument("--millions", type=float, nargs="+", default=SIZES, help="sizes in millions of nodes")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--game", default="", help="the composite's `trees`; its default where it is left out")
    options = parser.parse_args(given)
    print("| form | nodes | convert, s | but for relevance, s | save, s | peak, GB | source, MB | explained, MB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory(prefix="onnxlrp-large-") as folder:
        for form in options.forms:
            for millions in options.millions:
                row(Path(folder), form, millions, options.game)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
