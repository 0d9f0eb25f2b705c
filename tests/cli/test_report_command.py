"""`onnxlrp report`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from onnxlrp.cli import app
from tests.evaluation import nets

pytest.importorskip("matplotlib")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model and a table of samples."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    onnx.save(nets.linear(random.normal(size=(4, 3)), True), "table.onnx")
    rows = "\n".join(",".join(f"{v:.3f}" for v in row) for row in random.normal(size=(12, 4)))
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + rows)
    (tmp_path / "labels.txt").write_text("left\nright\nmiddle\n")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def test_a_report_is_written_and_not_overwritten(place):
    words = ("table.onnx", "--input", "x=rows.csv", "--steps", 3, "--labels", "labels.txt", "-o", "page.html")
    result = run(*words)
    assert result.exit_code == 0 and "wrote page.html" in result.stdout, result.output
    text = (place / "page.html").read_text(encoding="utf-8")
    assert "Report on table.onnx" in text and "most relevant first" in text and "middle" in text
    assert "the first 3 of 12 samples are shown" in result.stderr
    assert run(*words).exit_code == 2
    assert run(*words, "--force").exit_code == 0


def test_a_class_by_its_name(place):
    words = ("table.onnx", "--input", "x=rows.csv", "--no-curves", "--labels", "labels.txt", "--json")
    for number, name in enumerate(("left", "right", "middle")):
        for target, page in ((number, "a.html"), (name, "b.html")):
            assert run(*words, "--target", target, "-o", page, "--force").exit_code == 0
        assert (place / "a.html").read_bytes() == (place / "b.html").read_bytes()
    refused = run(*words, "--target", "midle", "-o", "c.html")
    assert refused.exit_code == 3 and "did you mean 'middle'?" in refused.stderr and not (place / "c.html").exists()


def test_json(place):
    result = run("table.onnx", "--input", "x=rows.csv", "--no-curves", "--samples", 12, "--target", 1, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["written"] == "report.html" and content["bytes"] > 10_000
    assert "the first" not in str(content["notes"])


def test_a_map_of_scores_asks_for_an_element(place):
    node = onnx.helper.make_node("Conv", ["x", "w"], ["y"], "conv")
    shapes = {"x": ["N", 1, 6, 6]}, {"y": ["N", 2, 6, 6]}
    onnx.save(nets.model([node], *shapes, {"w": np.ones((2, 1, 1, 1))}), "map.onnx")
    np.save("x.npy", np.random.default_rng(0).normal(size=(2, 1, 6, 6)).astype(np.float32))
    words = ("map.onnx", "--input", "x.npy", "--no-curves", "--composite", "epsilon")
    refused = run(*words)
    assert refused.exit_code == 3 and "--element INDICES" in refused.stderr
    assert run(*words, "--element", "1,2,3").exit_code == 0


@pytest.mark.parametrize(
    "words", [["-o", "page.pdf"], ["--composite", "no_such"], ["--samples", "0"], ["-o", "rows.csv"]]
)
def test_wrong_usage(place, words):
    assert run("table.onnx", "--input", "x=rows.csv", *words).exit_code == 2
