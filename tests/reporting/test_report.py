"""`onnxlrp.report`: one page, with everything in it and nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.reporting import relevance_flow
from tests.evaluation import nets

pytest.importorskip("matplotlib")
MODELS = Path(__file__).parents[2] / "models"
SECTIONS = ["prediction", "explanations", "warnings", "flow", "steps", "drawing"]
VOID = {"meta", "link", "img", "input", "br", "line", "rect", "path", "polyline"}


class Page(HTMLParser):
    """The elements of a page; fails where they do not close in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, tag: str) -> list[dict]:
        return [attrs for name, attrs in self.elements if name == tag]


def written(tmp_path, *given, **options) -> str:
    return onnxlrp.report(*given[:2], tmp_path / "report.html", *given[2:], **options).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A report on three of four pictures by two composites."""
    random = np.random.default_rng(0)
    x = random.normal(size=(4, 1, 12, 12)).astype(np.float32)
    folder = tmp_path_factory.mktemp("pictures")
    return written(folder, nets.convolutions(random), {"x": x}, ["epsilon", "gradient_x_input"], steps=4)


def test_every_section_is_there(pictures):
    page = Page(pictures)
    assert [attrs["id"] for attrs in page.of("section")] == SECTIONS
    assert [attrs["href"] for attrs in page.of("a")][: len(SECTIONS)] == [f"#{name}" for name in SECTIONS]
    assert "the first 3 of 4 samples are shown" in pictures
    assert "Gradients conserve no relevance" in pictures
    assert pictures.count("<article>") == 6


def test_nothing_comes_from_elsewhere(pictures):
    page = Page(pictures)
    for tag, attrs in page.elements:
        for name in ("src", "href", "action", "data", "srcset", "poster"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs)
        assert not [name for name in attrs if name.startswith("on")], (tag, attrs)
    assert not re.search(r"@import|url\(|https?://", pictures)
    policy = page.of("meta")[1]["content"]
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_each_picture_and_chart_is_described(pictures):
    page = Page(pictures)
    assert all(attrs["alt"] for attrs in page.of("img"))
    assert all(attrs.get("aria-label") for attrs in page.of("svg") if attrs.get("class") == "chart")
    assert len(page.of("img")) == 3 + 6  # each picture, and its map by each composite


def test_each_node_leads_to_its_row(pictures):
    page = Page(pictures)
    rows = {attrs["id"] for attrs in page.of("tr") if "id" in attrs}
    nodes = [attrs for attrs in page.of("a") if "data-rows" in attrs]
    assert nodes and all(attrs["href"][1:] in rows for attrs in nodes)
    formulas = {attrs["id"] for attrs in page.of("dt") if "id" in attrs}
    assert {f"f{attrs['data-f']}" for attrs in page.of("tr") if "data-f" in attrs} == formulas


def test_names_from_files_are_escaped(tmp_path):
    model = nets.linear(np.random.default_rng(1).normal(size=(4, 3)), True)
    evil = "<script>alert(1)</script>\x1b"
    for node in model.graph.node:
        node.name = evil + node.name
        node.input[:] = [evil if name == "x" else name for name in node.input]
    model.graph.input[0].name = evil
    x = np.random.default_rng(2).normal(size=(5, 4)).astype(np.float32)
    text = written(tmp_path, model, x, ["auto"], labels=["<b>", "&", '"'], steps=2)
    assert len(Page(text).of("script")) == 2  # its own, and the record, which is data
    assert "<script>alert" not in text and "&lt;script&gt;" in text and "<b>" not in text and "\x1b" not in text


def test_the_same_report_has_the_same_bytes(tmp_path):
    model, x = nets.linear(np.eye(4, 3), True), np.eye(4, dtype=np.float32)
    assert written(tmp_path, model, x, steps=2) == written(tmp_path, model, x, steps=2)


def test_curves_are_left_out_on_request(tmp_path):
    model, x = nets.linear(np.eye(4, 3), True), np.eye(4, dtype=np.float32)
    text = written(tmp_path, model, x, "auto", curves=False, samples=1)
    assert "most relevant first" not in text and text.count("<article>") == 1


def test_curves_that_cannot_be_computed_are_a_note(tmp_path, monkeypatch):
    def refuse(*given, **options):
        raise InputError("nothing to remove")

    monkeypatch.setattr("onnxlrp.reporting.gather_report.evaluate", refuse)
    text = written(tmp_path, nets.linear(np.eye(4, 3), True), np.eye(4, dtype=np.float32))
    assert "there are no deletion curves: nothing to remove" in text


def test_what_biases_keep_is_said_in_words(tmp_path):
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "dense")]
    weights = {"w": np.eye(4, 3), "b": np.full(3, 1000.0)}
    model = nets.model(nodes, {"x": ["N", 4]}, {"y": ["N", 3]}, weights)
    text = written(tmp_path, model, np.eye(4, dtype=np.float32), "epsilon", curves=False)
    assert "Most of the score does not arrive at the inputs" in text
    assert "100 % by biases and other constants" in text
    assert "What it means, and what to try" in text and "zero_params=" in text


def test_arguments_that_do_not_fit(tmp_path):
    model, x = nets.linear(np.eye(4, 3), True), np.eye(4, dtype=np.float32)
    with pytest.raises(InputError, match=r"a report is written as \.html"):
        onnxlrp.report(model, x, tmp_path / "report.pdf")
    with pytest.raises(InputError, match="samples is a whole number from 1 on"):
        onnxlrp.report(model, x, tmp_path / "report.html", samples=0)
    with pytest.raises(InputError, match="no_such"):
        onnxlrp.report(model, x, tmp_path / "report.html", "no_such")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_real_model_of_pictures_stays_small(tmp_path):
    model = MODELS / "efficientnet_lite0" / "efficientnet_lite0.onnx"
    pictures = sorted((MODELS / "pictures").glob("*.png"))[:3]
    text = written(tmp_path, model, pictures, curves=False)
    assert len(text) < 3_000_000
    assert "Egyptian cat" in text and text.count("<article>") == 12


def test_a_series(tmp_path):
    folder = MODELS / "digits_lstm"
    rows = np.load(folder / "samples.npz")["rows"]
    text = written(tmp_path, folder / "digits_lstm.onnx", {"rows": rows}, ["auto"], curves=False, samples=2)
    assert text.count("<article>") == 2 and "LSTM" in text


def test_a_model_that_takes_one_sample_at_once_and_an_element_of_its_map(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "conv")]
    weights = {"w": np.random.default_rng(0).normal(size=(2, 3, 1, 1))}
    model = nets.model(nodes, {"x": [1, 3, 6, 6]}, {"y": [1, 2, 6, 6]}, weights)
    x = np.random.default_rng(1).normal(size=(3, 3, 6, 6)).astype(np.float32)
    text = written(tmp_path, model, x, "epsilon", target_kind="element", target=(1, 2, 3), steps=2)
    assert "the first 1 of 3 samples are shown (the model takes 1 at once)" in text
    assert text.count("<article>") == 1 and "element 1, 2, 3" in text and "most relevant first" in text


def test_numbers_that_are_not_finite_are_a_warning(tmp_path):
    x = np.eye(4, dtype=np.float32)
    x[0, 0] = np.nan
    text = written(tmp_path, nets.linear(np.eye(4, 3)), x, curves=False)
    assert "Some numbers are no numbers" in text and "holds 1 NaN" in text


def test_amounts_that_are_not_finite_make_no_chart():
    line = relevance_flow.Line("x", np.arange(3), np.array([1, np.nan, 2]), "l0")
    assert "not finite" in relevance_flow.line_chart([line], "a chart", ("a", "b"), "x")
