"""Classes by their names."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import TargetError
from onnxlrp.runtime.class_names import class_of, classes_of

ANIMALS = ("cat", "dog", "dog, hound", "fox")


class Series:
    """The part of a series of pandas or polars that is read."""

    def __init__(self, *values):
        self.to_numpy = lambda: np.array(values, object if isinstance(values[0], str) else None)


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ("Fox", 3),
        (np.array("fox"), 3),
        (["cat", 2], [0, 2]),
        (np.array(["fox", "cat"]), [3, 0]),
        (Series("fox", "cat"), [3, 0]),
        ([["fox", "cat"], ["hound", "cat"]], [[3, 0], [2, 0]]),
    ],
)
def test_names_in_every_form(target, classes):
    assert classes_of(target, lambda: ANIMALS) == classes


def test_numbers_need_no_names():
    assert classes_of(Series(1, 2), lambda: pytest.fail()).tolist() == [1, 2]


def test_a_name_that_two_classes_have():
    with pytest.raises(TargetError, match="2 classes are called 'a': 0, 1; give a number"):
        classes_of("a", lambda: ("a", "A ", "b"))


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
