"""Reason codes, and the short forms of an explanation in a terminal and a notebook."""

from __future__ import annotations

import dataclasses
import html.parser

import numpy as np
import pytest

from onnxlrp.errors import InputError
from tests.view.explanations import churn, image, review


def texts(rows):
    return [[str(reason) for reason in row] for row in rows]


def test_reasons_for_and_against():
    done = churn()
    assert texts(done.reasons()) == [
        ["age = 52 raised the raw score by 0.5", "contract = month raised the raw score by 0.25"],
        ["age = 19.5 raised the raw score by 1"],
    ]
    assert texts(done.reasons(against=True)) == [
        ["debt = 1000 lowered the raw score by 1.5"],
        ["contract = year lowered the raw score by 2"],
    ]
    (first, _), _ = done.reasons()
    assert (first.column, first.value, first.relevance) == ("age", 52, 0.5) and first.share == pytest.approx(0.5 / 2.25)
    assert texts(done.reasons(top=1))[0] == ["age = 52 raised the raw score by 0.5"]


def test_the_score_is_called_so_where_relevance_adds_up_to_it():
    assert str(churn(score=np.float32([-0.5, -0.75])).reasons()[0][0]) == "age = 52 raised the score by 0.5"


def test_missing_values_and_rounding():
    """A missing value is a reason like any other; what rounding leaves is none."""
    relevance = {"age": np.float32([[1e-9], [1]]), "debt": np.float32([[1], [1]])}
    done = dataclasses.replace(churn(), relevance=relevance)
    assert texts(done.reasons()) == [
        ["debt = 1000 raised the raw score by 1"],
        ["age = 19.5 raised the raw score by 1", "debt = missing raised the raw score by 1"],
    ]
    unknown = dataclasses.replace(done, inputs={})
    assert texts(unknown.reasons(top=1)) == [["debt raised the raw score by 1"], ["age raised the raw score by 1"]]


def test_tokens_are_reasons_and_pictures_have_none():
    assert texts(review().reasons(against=True)) == [[], ["bad lowered the raw score by 3"]]
    with pytest.raises(InputError, match=r"but x \[2, 1, 2, 2\] are explained"):
        image().reasons()
    for top in (0, True, 1.5, "4"):
        with pytest.raises(InputError, match="top is the number of reasons"):
            churn().reasons(top)


def test_words_for_what_relevance_is_a_part_of():
    def first(**changes):
        done = churn(base_value=None, raw_score=None)
        return str(dataclasses.replace(done, interface=dataclasses.replace(done.interface, **changes)).reasons()[0][0])

    assert first(score_is_output=True) == "age = 52 raised the score by 0.5"
    assert first(score_is_output=False) == "age = 52 raised the raw score by 0.5"  # a softmax was skipped
    assert first(seed="gradient") == first(initial="one") == "age = 52 has relevance +0.5"


def test_unknown_relevance_is_no_zero():
    done = churn(relevance={"age": np.float32([[np.nan], [1]]), "debt": np.float32([[2], [0]])})
    assert str(done).splitlines()[2:4] == ["  age = 52     nan", "  debt = 1000  +2"]


def test_print_says_what_adds_up():
    assert str(churn()).splitlines()[:3] == [
        "Relevance of age [2, 1], debt [2, 1], contract [2, 1]: lrp on 'y'",
        "sample 0: class 1 (leaves), score 0.4, base value 0.25, Σ relevance -0.75, raw score -0.5",
        "  debt = 1000       -1.5",
    ]
    assert "  bad   -3" in str(review()) and "and 3 more" in str(image(8))
    assert len(repr(image(8))) < 200 and "\n" not in repr(image(8))


class Cells(html.parser.HTMLParser):
    """Collects the text of a page, and the names of its elements."""

    def __init__(self):
        super().__init__()
        self.words, self.kinds = [], set()

    def handle_starttag(self, tag, attrs):
        self.kinds.add(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_notebooks_show_a_small_table_that_obeys_no_name():
    done = churn(columns={}, ids={})
    page = dataclasses.replace(done, inputs={**done.inputs, "contract": np.array([["<b>", "x"]], object).T})
    cells = Cells()
    cells.feed(page._repr_html_())
    assert any("contract = <b> (+0.25)" in word for word in cells.words) and "class 1 (leaves)" in cells.words
    assert cells.kinds == {"div", "b", "table", "tr", "th", "td"}
    assert len(image(100)._repr_html_()) < 4000


def test_a_model_of_one_score_has_no_class_to_name():
    """A regression explains its score, not a class 0."""
    done = churn()
    one = dataclasses.replace(done, target=np.zeros(2, np.int64), outputs={done.interface.output: np.ones((2, 1))})
    assert "class" not in str(one) and "sample 0: score" in str(one)
    assert "<td" in one._repr_html_() and "the score" in one._repr_html_()
