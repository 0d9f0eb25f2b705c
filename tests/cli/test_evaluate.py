"""`onnxlrp evaluate`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from onnxlrp.cli import app
from tests.evaluation import nets


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, a table of samples, pictures as an array and masks."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    onnx.save(nets.linear(random.normal(size=(4, 3)), True), "table.onnx")
    onnx.save(nets.convolutions(random), "net.onnx")
    rows = "\n".join(",".join(f"{v:.3f}" for v in row) for row in random.normal(size=(12, 4)))
    (tmp_path / "rows.csv").write_text("a,b,c,d\n" + rows)
    x = random.normal(size=(3, 1, 12, 12)).astype(np.float32)
    np.save("x.npy", x)
    np.save("masks.npy", (x > 0).astype(np.float32))
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_a_table_of_figures(place):
    result = run("table.onnx", "--input", "x=rows.csv", "--measure", "perturbation", "--measure", "complexity")
    assert result.exit_code == 0, result.output
    for words in ("area ↑", "random", "occlusion", "gradient_x_input", "values of 4 other samples", "12 samples"):
        assert words in result.stdout, words
    assert "rank r" not in result.stdout


@pytest.mark.parametrize("command", ["evaluate", "tune", "report"])
def test_rows_with_an_identifier(place, command):
    """What the message about a column that no input takes advises is there on every command that reads a table."""
    rows = (place / "rows.csv").read_text().splitlines()
    (place / "named.csv").write_text("\n".join(f"{one},{i or 'who'}" for i, one in enumerate(rows)))
    words = {"evaluate": ("--measure", "complexity"), "tune": ("--budget", 2), "report": ("--no-curves",)}[command]
    if command == "report":
        pytest.importorskip("matplotlib")
    told = [command, "table.onnx", "--input", "named.csv", *map(str, words)]
    result = CliRunner().invoke(app, [*told, "--id", "who"])
    assert result.exit_code == 0, result.output


def test_json(place):
    words = ("--composite", "epsilon", "--composite", "epsilon_plus", "--units", "patches", "--unit-size", 4)
    result = run("net.onnx", "--input", "x=x.npy", "--mask", "masks.npy", "--baseline", 0.5, "--json", *words)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["units"] == "patches of 4 × 4" and content["baseline"] == "values as given"
    names = {figure["explanation"] for figure in content["figures"]}
    assert names == {"epsilon", "epsilon_plus", "gradient_x_input", "random", "occlusion"}
    assert {one["name"] for one in content["measures"]} >= {"area", "localisation", "weight_similarity"}
    assert content["written"] is None


def test_a_plot_does_not_replace_a_picture_of_a_folder_that_is_read(place):
    image = pytest.importorskip("PIL.Image")
    (place / "pictures").mkdir()
    image.new("L", (12, 12)).save("pictures/a.png")
    result = run("net.onnx", "--input", "pictures/", "--plot", "pictures/a.png", "--force")
    assert result.exit_code == 2, result.output


def test_a_plot_is_written_and_not_overwritten(place):
    pytest.importorskip("matplotlib")
    words = ("table.onnx", "--input", "x=rows.csv", "--composite", "auto", "--measure", "perturbation")
    result = run(*words, "--plot", "curves.svg")
    assert result.exit_code == 0 and "wrote curves.svg" in result.stdout, result.output
    assert "occlusion" in result.stdout
    assert "occlusion" not in run(*words, "--beside", "random").stdout
    assert "random" not in run(*words, "--beside", "none").stdout.split("area ↑: ")[0]
    assert "<svg" in (place / "curves.svg").read_text()
    assert run(*words, "--plot", "curves.svg").exit_code == 2
    assert run(*words, "--plot", "curves.svg", "--force").exit_code == 0
    assert run(*words, "--plot", "rows.csv", "--force").exit_code == 2


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "give NAME=FILE"),
        (("--input", "x=rows.csv", "--measure", "beauty"), 2, "the measures are"),
        (("--input", "x=rows.csv", "--measure", "localisation"), 2, "needs masks"),
        (("--input", "x=rows.csv", "--composite", "epsilom"), 2, "epsilom"),
        (("--input", "x=rows.csv", "--beside", "lime"), 2, "random, occlusion"),
        (("--input", "x=rows.csv", "--plot", "curves.gif"), 2, ".png, .svg, .pdf"),
        (("--input", "x=rows.csv", "--units", "patches"), 3, "its units are"),
        (("--input", "x=rows.csv", "--baseline", "blurr"), 3, "is no baseline"),
        (("--input", "x=rows.csv", "--target", 7), 3, "7"),
        (("--input", "x=nothing.csv"), 3, "there is no file"),
    ],
)
def test_mistakes(place, words, status, message):
    result = run("table.onnx", *words)
    assert result.exit_code == status, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
