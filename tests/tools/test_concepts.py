"""The planted shortcut in its small form: one seed."""

from __future__ import annotations

import sys

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


def test_a_planted_shortcut(monkeypatch, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    from tools.concepts.__main__ import main

    monkeypatch.setattr(sys, "argv", ["tools.concepts", "shortcut", "--quick"])
    assert main() == 0, capsys.readouterr().out
