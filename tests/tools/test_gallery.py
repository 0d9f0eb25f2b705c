"""The gallery: its figures are there, and its code draws them."""

from __future__ import annotations

import warnings

import pytest

from onnxlrp.errors import ExplanationWarning
from tools import gallery

BLOCKS = gallery._BLOCK.findall(gallery.PAGE.read_text(encoding="utf-8"))


def test_every_figure_is_there_and_small():
    places = [place for _, _, place in BLOCKS]
    assert len(places) == len({*places}) == len(list((gallery.PAGE.parent / "gallery").iterdir())) > 8
    for place in places:
        assert 5_000 < (gallery.PAGE.parent / place).stat().st_size <= gallery.MOST


@pytest.mark.slow
def test_the_code_of_the_page_draws_figures(monkeypatch):
    """The blocks that need nothing but the repository are one program."""
    monkeypatch.chdir(gallery.ROOT)
    warnings.simplefilter("ignore", ExplanationWarning)
    names: dict = {}
    for kind, code, place in BLOCKS:
        if kind == "python":
            exec(compile(code, place, "exec"), names)
            assert names.pop("figure").axes, place
