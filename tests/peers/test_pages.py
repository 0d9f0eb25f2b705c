"""Pages of the documentation whose code needs the peers."""

from __future__ import annotations

import pytest

from tests.test_docs import ROOT, check_program

pytestmark = pytest.mark.peers
pytest.importorskip("skl2onnx")
pytest.importorskip("pandas")


def test_the_page_on_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_program(ROOT / "docs" / "tables.md", [])
