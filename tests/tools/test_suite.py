"""The judgement of `auto`: rows that do not mix, one model measured, and figures that the pages agree on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.evaluation import suite
from tools.evaluation.suite_page import page, row
from tools.evaluation.suite_subjects import SUBJECTS

ROOT = Path(__file__).parents[2]
MARKS = "▲▽*"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda s: s.folder)
def test_models_are_small_and_no_row_is_in_both_parts(subject):
    assert subject.path.stat().st_size <= 1 << 20 or subject.folder == "efficientnet_lite0"
    choice, table = ({one.tobytes() for one in subject.read(part)} for part in ("choice", "table"))
    assert choice and table
    if subject.folder not in ("sentences_transformer", "motions_tcn"):  # few sentences are possible, windows overlap
        assert not choice & table


def test_a_model_is_measured_and_written_down(monkeypatch):
    monkeypatch.setattr(suite, "PRESETS", ("auto", "epsilon_plus_flat", "grad_cam"))
    subject = next(one for one in SUBJECTS if one.folder == "wine_mlp")
    found = suite.measure(subject, "choice")
    assert found.explanations == ("auto", "epsilon_plus_flat", "gradient_x_input", "random", "occlusion")
    assert "epsilon_plus_flat 0.00▽" in row(subject, found)
    written = page({subject: found}, suite.CONFIDENCE, 1.0)
    assert "-100.0%" in written and "occlusion" in written and written.rstrip().endswith("None.")


def test_the_page_on_choosing_shows_the_figures_of_the_suite():
    shown = tables(ROOT / "docs" / "choosing.md")
    full = tables(suite.RESULTS)
    assert {one.folder for one in SUBJECTS} == set(shown) == set(full)
    for folder, cells in shown.items():
        for name, cell in cells.items():
            assert cell.strip(MARKS) == full[folder][name].strip("*").split(" ±")[0], (folder, name)


def tables(path: Path) -> dict[str, dict[str, str]]:
    """Read the first table of areas: figures by model and composite."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| model |"))
    names = [name.strip("` ") for name in lines[start].strip("|").split("|")]
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("| `"):
            break
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        folder = re.match(r"`(\w+)`", first)
        assert folder
        every = dict(zip(names[1:], cells, strict=True))
        found[folder[1]] = {name: value for name, value in every.items() if not name.startswith("samples")}
    return found
