"""`python -m tools.concepts shortcut` plants a shortcut and looks for it; `--quick` is one small run, without a page.

`python -m tools.concepts insight` says what speaks for each digit of a data set. Both need scikit-learn, the first
torch and scikit-image, too (tools/peers.txt says how to install them).
"""

from __future__ import annotations

import argparse
import datetime
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from onnxlrp import __version__
from onnxlrp.errors import ExplanationWarning

if TYPE_CHECKING:
    from tools.concepts.shortcut import Accuracy, Finding

RESULTS, INSIGHT = (Path(__file__).parent / name for name in ("shortcut.md", "insight.md"))
SEEDS = range(5)


def main() -> int:
    """Run what is asked for; returns 1 where it found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tools.concepts", description=__doc__)
    parser.add_argument("what", choices=["shortcut", "insight"])
    parser.add_argument("--quick", action="store_true", help="one seed, and no page")
    asked = parser.parse_args()
    return _insight() if asked.what == "insight" else _shortcut(asked.quick)


def _insight() -> int:
    """Print the table of digits, and write its page."""
    from tools.concepts.insight import COLUMNS, ROWS, shares_of_digits

    warnings.filterwarnings("ignore", category=ExplanationWarning)
    start, lines = time.process_time(), shares_of_digits()
    places = " | ".join(f"{row} {column}" for row in ROWS for column in COLUMNS)
    table = "\n".join([f"| digit | {places} | channels |", "|--:" * 10 + "|---|", *lines])
    seconds = time.process_time() - start
    print(table)
    INSIGHT.write_text(
        f"""# What speaks for a digit

`python -m tools.concepts insight`, {datetime.date.today()}, onnxlrp {__version__}, {seconds:.0f} seconds of one
processor.

All 1,797 digits of scikit-learn, explained for their labels by `models/digits_cnn` (`auto`): the mean share of a
picture's Σ|relevance| in nine regions, and the three channels of the last convolution that count most, each with its
share of the pixels' relevance and the region where most of that lies.

{table}
""",
        encoding="utf-8",
    )
    print(f"wrote {INSIGHT}")
    return 0


def _shortcut(quick: bool) -> int:
    """Print a line for each seed, and write the page; returns 1 where a shortcut was not found, or found where none
    is."""
    import torch

    from tools.concepts.shortcut import Size, measured

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torch.*")
    for kind in (DeprecationWarning, torch.jit.TracerWarning, ExplanationWarning):
        warnings.filterwarnings("ignore", category=kind)
    start, findings = time.process_time(), []
    for seed in SEEDS[: 1 if quick else None]:
        findings.append(measured(seed, Size(test=300) if quick else Size()))
        print(_row(findings[-1]), flush=True)
    if not quick:
        RESULTS.write_text(_page(findings, time.process_time() - start), encoding="utf-8")
        print(f"wrote {RESULTS}")
    return int(any(one.purity < 0.9 or one.elsewhere or one.without for one in findings))


def _row(one: Finding) -> str:
    """Write one seed as a line of the table."""
    found = "none" if one.found is None else str(one.found)
    before, after = (_accuracies(which) for which in (one.before, one.after))
    counts = f"{one.marks} | {found} | {one.purity:.3f} | {one.leaving:.1%} | {one.elsewhere} | {one.without}"
    return f"| {one.seed} | {counts} | {before} | {after} |"


def _accuracies(one: Accuracy) -> str:
    return f"{one.clean:.3f}, {one.of_class:.3f}, {one.marked_others:.3f}"


def _page(findings: list[Finding], seconds: float) -> str:
    from tools.concepts.shortcut import Size

    size, mean = Size(), np.mean([one.purity for one in findings])
    return f"""# A planted shortcut

`python -m tools.concepts shortcut`, {datetime.date.today()}, onnxlrp {__version__}, {seconds:.0f} seconds of one
processor.

Pieces of 10 x 10 of six photographs on textures ({size.training} pictures of 32 x 32, photographs and textures of
scikit-image); half of the training pictures of one photograph, the cat, carry a badge in a corner. A small CNN is
trained ({size.epochs} epochs), every training picture is explained for its label (`auto`), and `onnxlrp.clusters_of`
looks for clusters in all six classes with its defaults. Nobody tells it of the badge.

*Found* is the size of the most focused cluster that stands apart in the marked class, *purity* the share of that
class's pictures for which belonging to it tells whether they carry the badge (mean {mean:.3f}). *Elsewhere* counts
clusters that stand apart in the five other classes, *without* those in all six classes of a network that was trained
without badges: both should be 0. Then the place of the cluster's mean map is filled, in its pictures alone, with that
place of random other pictures, and the network is trained again. Accuracy before and after, on {size.test} test
pictures: all clean, clean ones of the marked class, and pictures of the other classes that carry the badge.

| seed | marked | found | purity | links that leave | elsewhere | without | before | after |
|--:|--:|--:|--:|--:|--:|--:|---|---|
{chr(10).join(map(_row, findings))}
"""


if __name__ == "__main__":
    raise SystemExit(main())
