"""Tables in notebooks: every result shows itself in a few lines of safe HTML, and in one line elsewhere."""

from __future__ import annotations

import html.parser

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.notebook_html import notebook_table

NET = """
<ir_version: 10, opset_import: ["": 21]>
net (float[N, 3] x) => (float[N, 2] y)
<float[3, 2] W = {1, -1, 2, 0, -1, 3}>
{ y = MatMul (x, W) }
"""
X = np.ones((40, 3), np.float32)


class Page(html.parser.HTMLParser):
    """Checks that every element that a page opens is closed, and collects its words."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        assert tag in ("div", "b", "table", "tr", "th", "td") and {name for name, _ in attrs} <= {"style"}
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    explained = onnxlrp.convert(onnx.parser.parse_model(NET), ledger=True)
    explainer = onnxlrp.Explainer(explained)
    explanation = explainer(X)
    evaluation = onnxlrp.evaluate(onnx.parser.parse_model(NET), {"x": X}, ["epsilon"])
    many = explainer.map(X, to=tmp_path_factory.mktemp("results"))
    return [explained, explained.plan, explainer, explanation, explanation.ledger, evaluation, many]


def test_results_show_themselves(results):
    for one in results:
        page = Page(one._repr_html_())
        assert len(page.words) > 3 and len(one._repr_html_()) < 9000, type(one)
        assert "\n" not in repr(one) and len(repr(one)) < 300 and repr(one).startswith(f"<{type(one).__name__}")
        assert str(one)


def test_words_are_only_words_and_long_tables_are_cut():
    page = Page(notebook_table("<script>", ["a", "b"], [["<b>x", "é\x1b[2J"]] * 100, ["x" * 1000]))
    assert "<script>" in page.words and "<b>x" in page.words and "é\\x1b[2J" in page.words
    assert "and 70 more rows; print() shows all" in page.words and max(map(len, page.words)) <= 400
