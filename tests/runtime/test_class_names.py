"""Classes by their names."""

from __future__ import annotations

import pytest

from onnxlrp.errors import TargetError
from onnxlrp.runtime.class_names import class_of

NAMES = ("tabby, tabby cat", "tiger cat", "espresso", "catamaran")


@pytest.mark.parametrize(("name", "index"), [("tabby", 0), ("Tiger  CAT", 1), ("espresso", 2)])
def test_a_class_by_its_name(name, index):
    assert class_of(name, NAMES) == index


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cat", r"did you mean one of: tabby, tabby cat, tiger cat\?"),
        ("tiger", r"did you mean 'tiger cat'\?"),
        ("expresso", r"did you mean 'espresso'\?"),
        (" ", r"no class is called ' '; the classes are"),
    ],
)
def test_an_unknown_name_suggests_those_that_hold_the_word(name, words):
    with pytest.raises(TargetError, match=words):
        class_of(name, NAMES)
