"""Explaining pictures to a grid moves less than one percent of the bytes of whole maps."""

from __future__ import annotations

import pytest

from tools.moved_bytes import moved, table


@pytest.mark.slow
def test_a_grid_moves_less_than_one_percent():
    rows = whole, grid, top = moved(["", "grid=14", "top=10"])
    assert grid.relevance == 14 * 14 * 4
    assert grid.relevance < whole.relevance / 100
    assert top.relevance == 10 * (4 + 8)
    assert grid.difference is not None
    assert grid.difference < 1e-5
    assert "| `grid=14` |" in table(rows)
