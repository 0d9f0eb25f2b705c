"""Tuning of every small model of the suite: is what `onnxlrp.tune` writes ever below `auto` on held-out rows?"""

from __future__ import annotations

import datetime
import time
from pathlib import Path

import numpy as np
import onnxruntime

import onnxlrp
from tools.evaluation.suite_subjects import SUBJECTS, Subject

PAGE = Path(__file__).parent / "tuned_suite.md"
BUDGET = 30
ROWS = 48
"""Largest number of rows of a half."""


def main() -> None:
    """Tune each model but the large classifier, which `tuned_classifier` has, and write the page."""
    onnxruntime.set_default_logger_severity(3)
    start = time.process_time()
    rows = [_row(one) for one in SUBJECTS if one.rows is None]
    minutes = (time.process_time() - start) / 60
    PAGE.write_text("\n".join([*_head(minutes), *rows]) + "\n")
    print(PAGE.read_text())


def _row(subject: Subject) -> str:
    """Tune one model: rules are searched on the rows of choice, and compared on those of the table."""
    search, held_out = (subject.read(part)[:ROWS] for part in ("choice", "table"))
    places = range(len(search), len(search) + len(held_out))
    tuning = onnxlrp.tune(
        subject.path,
        np.concatenate([search, held_out]),
        held_out=places,
        budget=BUDGET,
        providers=["CPUExecutionProvider"],
        **subject.arguments(),
    )
    winner = tuning.held_out.difference(tuning.winner, "auto")
    written, preset = tuning.difference(), tuning.difference(tuning.best_preset)
    cells = (
        f"`{subject.folder}`",
        f"{len(search)} and {len(held_out)}",
        f"`{tuning.winner}`",
        f"{winner.mean:+.3g} [{winner.low:.3g}, {winner.high:.3g}]",
        f"{tuning.figure('auto').mean:.4g}",
        "`auto`" if tuning.auto_stays else "the winner",
        f"{written.mean:+.3g} [{written.low:.3g}, {written.high:.3g}]",
        f"`{tuning.best_preset}` {preset.mean:+.3g} [{preset.low:.3g}, {preset.high:.3g}]",
    )
    return f"| {' | '.join(cells)} |"


def _head(minutes: float) -> list[str]:
    return [
        "# Rules tuned for each model of the suite",
        "",
        f"`python -m tools.evaluation tune-suite`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, "
        f"onnxruntime {onnxruntime.__version__}, {minutes:.1f} minutes of processor time, {BUDGET} candidates a model.",
        "",
        "Differences of areas, sample by sample, on rows that the search has not seen, with 95 % bootstrap intervals. "
        "What is written",
        "is the winner of the search where its mean is above that of `auto` there, else `auto`.",
        "",
        "| model | rows searched, held out | winner of the search | winner less `auto` | `auto` | written "
        "| written less `auto` | written less the best preset |",
        "|---|---|---|---|---|---|---|---|",
    ]
