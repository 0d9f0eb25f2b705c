"""Reductions as text."""

from __future__ import annotations

import pytest

from onnxlrp.errors import InputError
from onnxlrp.reductions import Reduction, edges_of_cells, named_reduction


@pytest.mark.parametrize(
    "text", ["channels", "grid=14", "top=10", "float16", "channels+grid=14", "grid=14+top=10+float16"]
)
def test_texts_are_read_and_written(text):
    assert str(Reduction.parse(text)) == text


def test_spaces_do_not_matter():
    assert Reduction.parse("channels + grid=3") == Reduction(channels=True, grid=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("grid=14+channels", "an order: write 'channels\\+grid=14'"),
        ("float16+top=3", "an order: write 'top=3\\+float16'"),
        ("top=3+top=4", "names top twice"),
        ("chanels", "no reduction.*did you mean 'channels'"),
        ("", "no reduction"),
        ("grid", "'grid' takes a whole number from 1 on"),
        ("grid=0", "'grid' takes a whole number"),
        ("top=-1", "'top' takes a whole number"),
        ("top=99999999999999", "'top' takes a whole number"),
        ("channels=3", "'channels' takes no number"),
        (14, "is a text such as"),
        (None, "is a text such as"),
    ],
)
def test_others_are_refused(text, words):
    with pytest.raises(InputError, match=words):
        Reduction.parse(text)


def test_edges_of_cells():
    assert edges_of_cells(10, 4) == [0, 2, 5, 7, 10]
    assert edges_of_cells(2, 3) == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("grid=14", ("", "grid=14")),
        ("image=grid=14", ("image", "grid=14")),
        ("a=b=channels+top=3", ("a=b", "channels+top=3")),
        ("grid=grid=14", ("grid", "grid=14")),
        ("image=nonsense", ("image", "nonsense")),
        ("grid=x", ("", "grid=x")),
    ],
)
def test_names_on_the_command_line(text, pair):
    assert named_reduction(text) == pair
