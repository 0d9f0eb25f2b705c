"""The registry: every operator of the installed onnx has one entry, and the page that lists them is up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import onnx
import pytest

from onnxlrp.operators.registry import table

TOOL = Path(__file__).parents[2] / "tools" / "operators_page.py"
OLD = ("Upsample", "Scatter")
"""Deprecated, but still in files."""


def test_every_operator_of_onnx_has_an_entry():
    schemas = [s for s in onnx.defs.get_all_schemas() if s.domain == ""]
    wanted = {s.name for s in schemas if not s.deprecated} | set(OLD)
    assert wanted - {row.operator for row in table() if row.domain == "ai.onnx"} == set()


def test_no_entry_for_what_onnx_does_not_have():
    known = {(s.domain or "ai.onnx", s.name) for s in onnx.defs.get_all_schemas_with_history()}
    ours = {(row.domain, row.operator) for row in table() if row.domain.startswith("ai.onnx")}
    assert ours - known == set()


def test_every_entry_says_what_happens():
    for row in table():
        assert 5 < len(row.treatment) < 220, row
        assert row.treatment[0].isupper() or row.kind in ("stop", "refused"), row


def test_an_operator_has_one_handler():
    from onnxlrp.operators.registry import stop

    with pytest.raises(ValueError, match=r"two handlers for ai\.onnx::Relu"):
        stop("Relu", reason="claimed twice")


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("operators_page", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(table()), "run python tools/operators_page.py"
