"""`onnxlrp tune`."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from onnxlrp.cli import app
from tests.evaluation import tuning_nets


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model and a table of samples on which γ beats ε."""
    monkeypatch.chdir(tmp_path)
    onnx.save(tuning_nets.zigzag(np.arange(1.0, 7.0)), "zigzag.onnx")
    x = np.random.default_rng(0).uniform(0.9, 0.905, (16, 6)).astype(np.float32)
    np.save("x.npy", x)
    np.save("few.npy", x[:3])
    return tmp_path


def run(*words, model="zigzag.onnx"):
    return CliRunner().invoke(app, ["tune", model, *map(str, words)])


ASKED = ("--input", "x=x.npy", "--composite", "epsilon", "--budget", 6, "--baseline", 0)


def test_a_composite_file_is_written_and_not_overwritten(place):
    result = run(*ASKED, "-o", "rules.toml")
    assert result.exit_code == 0, result.output
    for words in ("held-out area ↑", "is better than auto by", "8 held out", "wrote rules.toml"):
        assert words in result.stdout, words
    written = (place / "rules.toml").read_bytes()
    assert run(*ASKED, "-o", "rules.toml").exit_code == 2
    assert run(*ASKED, "-o", "rules.toml", "--force").exit_code == 0
    assert (place / "rules.toml").read_bytes() == written
    words = ("convert", "zigzag.onnx", "-o", "x.lrp.onnx", "--composite", "rules.toml")
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0, again.output


def test_json(place):
    result = run(*ASKED, "--json", "--seed", 3)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["written"] is None and content["held_out"]["seed"] == 3
    assert content["composite"].startswith("auto; layers: ") and not content["auto_stays"]
    assert content["toml"].count("[[rules]]") == 1
    assert len(content["candidates"]) <= 6


def test_nothing_is_written_unasked(place):
    before = sorted(place.iterdir())
    assert "-o rules.toml writes the composite file" in run(*ASKED).stdout
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "give NAME=FILE"),
        (("--input", "x=x.npy", "-o", "rules.txt"), 2, "ends with .toml"),
        (("--input", "x=x.npy", "-o", "nowhere/rules.toml"), 2, "there is no folder"),
        (("--input", "x=x.npy", "--budget", 0), 2, "budget"),
        (("--input", "x=x.npy", "--composite", "epsilom"), 2, "epsilom"),
        (("--input", "x=x.npy", "--composite", "gradient"), 3, "is a gradient"),
        (("--input", "x=few.npy"), 3, "at least 4 samples"),
        (("--input", "x=x.npy", "--units", "patches"), 3, "its units are"),
    ],
)
def test_mistakes(place, words, status, message):
    result = run(*words)
    assert result.exit_code == status, result.output
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
