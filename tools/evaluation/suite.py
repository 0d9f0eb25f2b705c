"""Judgement of `auto`: every preset beside it on every model of the suite; `python -m tools.evaluation suite`.

It needs onnxlrp alone, takes some ten minutes of one core, and writes suite.md. `--choice` measures the rows that rules
are chosen by and prints only; names of folders leave the other models out, and the page as it is.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnxlrp
from onnxlrp.errors import OnnxLrpError
from onnxlrp.evaluation.evaluation_result import Evaluation
from tools.evaluation.suite_page import OTHERS, page, row
from tools.evaluation.suite_subjects import SUBJECTS, Part, Subject

RESULTS = Path(__file__).parent / "suite.md"
CONFIDENCE = 0.95
PRESETS = (
    "auto",
    "epsilon",
    "epsilon_plus",
    "epsilon_plus_flat",
    "epsilon_alpha2_beta1",
    "epsilon_alpha2_beta1_flat",
    "epsilon_gamma_box({box})",
    "vgg_overview({box})",
    "deep_taylor",
    "excitation_backprop",
    "attn_lrp",
    "cp_lrp",
    *OTHERS,
)
"""Composites beside gradient × input, occlusion and a random order; the box holds the rows that are measured."""


def main(arguments: Sequence[str]) -> None:
    """Measure the models that are named, or all of them, and write the page if these are all."""
    part: Part = "choice" if "--choice" in arguments else "table"
    own = [one for one in arguments if "(" in one or "=" in one]
    named = [one for one in arguments if one not in ("--choice", *own)]
    chosen = [one for one in SUBJECTS if not named or one.folder in named]
    start, found = time.process_time(), {}
    for subject in chosen:
        found[subject] = measure(subject, part, own)
        print(row(subject, found[subject]), flush=True)
    if len(chosen) == len(SUBJECTS) and part == "table" and not own:
        RESULTS.write_text(page(found, CONFIDENCE, (time.process_time() - start) / 60), encoding="utf-8")
        print(f"wrote {RESULTS}")


def measure(subject: Subject, part: Part, more: Sequence[str] = ()) -> Evaluation:
    """Evaluate every composite that does not refuse the model."""
    rows = subject.read(part)
    low, high = float(rows.min()), float(rows.max())
    fitted = {"box": f"low={low:.6g}, high={high:.6g}", "noise": f"{0.15 * (high - low):.3g}"}
    asked = [name.format(**fitted) for name in (*PRESETS, *more)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        composites = [name for name in asked if _suits(subject, name)]
        return onnxlrp.evaluate(
            subject.path, rows, composites, measures="perturbation", confidence=CONFIDENCE, **subject.arguments()
        )


def _suits(subject: Subject, composite: str) -> bool:
    """Decide whether a composite explains the model; `onnxlrp inspect` says why where one does not."""
    try:
        onnxlrp.convert(subject.path, composite, target=subject.options.get("target_kind", "class"))
    except OnnxLrpError:
        return False
    return True
