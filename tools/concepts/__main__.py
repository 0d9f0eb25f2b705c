"""`python -m tools.concepts shortcut` plants a shortcut and looks for it; `--quick` is one small run, without a page.

It needs torch and scikit-image besides onnxlrp and scikit-learn (tools/peers.txt says how to install them).
"""

from __future__ import annotations

import argparse
import datetime
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from onnxlrp import __version__
from onnxlrp.errors import ExplanationWarning
from tools.concepts.shortcut import Accuracy, Finding, Size, measured

RESULTS = Path(__file__).parent / "shortcut.md"
SEEDS = range(5)


def main() -> int:
    """Print a line for each seed, and write the page; returns 1 where a shortcut was not found, or found where none
    is."""
    parser = argparse.ArgumentParser(prog="python -m tools.concepts", description=__doc__)
    parser.add_argument("what", choices=["shortcut"])
    parser.add_argument("--quick", action="store_true", help="one seed, and no page")
    quick = parser.parse_args().quick
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
    size, mean = Size(), np.mean([one.purity for one in findings])
    return f"""# A planted shortcut

`python -m tools.concepts shortcut`, {datetime.date.today()}, onnxlrp {__version__}, {seconds:.0f} seconds of one processor.

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
