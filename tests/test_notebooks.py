"""The notebooks of docs/notebooks run, and hold what a reader of the pages sees."""

from __future__ import annotations

import json

import pytest

from tests.test_docs import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _name(path):
    return path.stem


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_what_a_notebook_holds(path):
    """Every cell of code was run; outputs are small and name no place of the machine that they came from."""
    text = path.read_text()
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"])
    assert len(text) < 600_000 and "/tmp" not in text and "/home" not in text
    assert path.name in (ROOT / "docs" / "index.md").read_text()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=_name)
def test_a_notebook_runs(path):
    """Each cell shows what it showed: text, tables or pictures."""
    for package in ("nbclient", "nbformat", "ipykernel", "matplotlib", "pandas"):
        pytest.importorskip(package)
    from tools.notebooks import run

    def shown(cells):
        kinds = [[sorted(o.get("data", {})) for o in cell.get("outputs", ()) if "data" in o] for cell in cells]
        return [one for cell in kinds for one in cell]

    assert shown(run(path).cells) == shown(json.loads(path.read_text())["cells"])
