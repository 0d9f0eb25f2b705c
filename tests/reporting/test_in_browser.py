"""The page of a report in headless Chromium: nothing is loaded, nothing fails, keys work, colours can be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import onnxlrp
from tests.evaluation import nets

pytest.importorskip("matplotlib")
playwright = pytest.importorskip("playwright.sync_api")
MODELS = Path(__file__).parents[2] / "models"
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]
CONTRAST = """() => {
  const light = (c) => {
    const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const paper = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *:not(script):not(svg *)")) {
    if (![...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim())) continue;
    const pair = [light(numbers(getComputedStyle(node).color).slice(0, 3)), light(paper(node))].sort();
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < 4.5) poor.push(`${node.tagName} ${node.textContent.slice(0, 40)} ${ratio.toFixed(1)}`);
  }
  return poor;
}"""


def of_pictures():
    random = np.random.default_rng(0)
    return nets.convolutions(random), {"x": random.normal(size=(3, 1, 12, 12)).astype(np.float32)}


def of_series():
    folder = MODELS / "digits_lstm"
    return folder / "digits_lstm.onnx", {"rows": np.load(folder / "samples.npz")["rows"]}


def of_texts():
    model = MODELS / "minilm_similarity" / "minilm_similarity.onnx"
    if not model.exists():
        pytest.skip("tools/make_models/minilm_similarity.py has not made the model")
    return model, {"first": ["The bank raised its rates."], "second": ["Borrowing has become more expensive."]}


def of_forest():
    pytest.importorskip("sklearn")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    x, y = load_wine(return_X_y=True)
    forest = RandomForestClassifier(10, max_depth=5, random_state=0).fit(x, y)
    return skl2onnx.to_onnx(forest, x[:1].astype(np.float32)), x[::20].astype(np.float32)


@pytest.fixture(scope="module", params=[of_pictures, of_series, of_texts, of_forest])
def place(request, tmp_path_factory):
    """A report on each kind of data."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    return onnxlrp.report(*request.param(), path, steps=3)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[1280, 360])
def page(request, browser, place):
    """The page at the width of a desk and of a phone, with everything that it says and asks for."""
    page = browser.new_page(viewport={"width": request.param, "height": 800})
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.goto(place.as_uri())
    yield page
    assert page.said == []
    assert [url for url in page.asked if not url.startswith("data:")] == [place.as_uri()]
    page.close()


def test_the_page_fits_its_width(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_words_stand_out_from_their_paper(page):
    assert page.evaluate(CONTRAST) == []


def test_the_plan_is_searched(page):
    rows, shown = page.locator("#plan tbody tr"), page.locator("#plan tbody tr:visible")
    page.locator("#search").fill(rows.first.locator("th").text_content().upper())
    assert 1 <= shown.count() <= rows.count()
    assert page.locator("#matches").text_content() == f"{shown.count()} of {rows.count()} steps"
    page.locator("#search").fill("no such step")
    assert shown.count() == 0
    page.locator("#search").fill("")
    assert shown.count() == rows.count()
    assert page.locator("#matches").text_content() == ""


def test_keys_reach_a_node_and_show_it(page):
    page.locator("#zoom-fit").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "graph"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    told = page.locator("#node").inner_text()
    if "steps" in told.partition("\n")[0]:  # several steps that are drawn as one
        assert page.locator("#node a").count() > 1
        return
    for words in ("operator", "rule", "shapes", "relevance that arrives", "formula"):
        assert words in told, told


def test_the_graph_is_zoomed(page):
    width = "document.querySelector('#graph svg').width.baseVal.value"
    before = page.evaluate(width)
    page.locator("#zoom-in").click()
    assert page.evaluate(width) > before
    page.locator("#graph").press("-")
    assert abs(page.evaluate(width) - before) < 1
