"""The runner of tools/cases: one line a case, an exit status, failing rows marked."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from tools.cases import __main__ as cases
from tools.cases import lib


def test_every_case_is_found():
    assert {"gates", "masked_rows", "old_resize"} <= set(cases.names())
    assert not {"lib", "__main__"} & set(cases.names())


def test_a_row_that_does_not_hold_is_marked(capsys):
    table = lib.Table("a title")
    table.row("right", np.True_, "1.00")
    assert table.status() == 0
    table.attempt("wrong", lambda: (False, "0.20"))
    table.attempt("an error", lambda: (1 / 0, ""))  # type: ignore[arg-type, return-value]
    assert table.status() == 1
    lines = capsys.readouterr().out.splitlines()
    assert ["<<<" in line for line in lines] == [False, False, True, True]
    assert "ZeroDivisionError" in lines[-1]


@pytest.mark.parametrize("holds", [True, False])
def test_the_exit_status(holds, monkeypatch, capsys):
    """0 only where every figure holds; a failing case shows its rows."""

    def main() -> int:
        table = lib.Table("a title")
        table.row("a row", holds, "0.50")
        return table.status()

    module = types.SimpleNamespace(main=main)
    monkeypatch.setitem(sys.modules, "tools.cases.made_up", module)
    monkeypatch.setattr(cases, "names", lambda: ["made_up"])
    assert cases.main([]) == cases.main(["made_up"]) == int(not holds)
    printed = capsys.readouterr().out
    assert ("holds" in printed) == holds
    assert ("a row" in printed) == (not holds)


def test_an_unknown_case_is_wrong_usage():
    with pytest.raises(SystemExit, match="2"):
        cases.main(["no such case"])


def test_measures():
    """A linear score: effects are its parts, and deletion prefers them over their opposite."""
    w, x = np.array([3.0, -2.0, 0.5]), np.array([[1.0, 1.0, 2.0], [0.5, -1.0, 1.0]])
    np.testing.assert_allclose(lib.effects(lambda q: q @ w, x), x * w)
    np.testing.assert_allclose(lib.correlation(x * w, -2 * x * w), -1)
    np.testing.assert_array_equal(lib.correlation(np.ones((2, 3)), x), 0)
    right, wrong = (lib.deletion(lambda q: q @ w, x[0], sign * x[0] * w) for sign in (1, -1))
    assert right == -wrong > 0
