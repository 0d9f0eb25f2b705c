"""`onnxlrp convert --on-demand` and `onnxlrp explain --no-explain`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.test_commands import WINE, call

pytest.importorskip("onnxruntime")


@pytest.fixture
def switched(tmp_path):
    """A model with a switch, and rows for it."""
    said = call("convert", WINE, "-o", tmp_path / "wine.lrp.onnx", "--on-demand").stdout
    assert "input 'explain', bool [1], switches relevance off" in said
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((20, 13), np.float32))
    return tmp_path


def explain(folder, *more) -> str:
    return call("explain", folder / "wine.lrp.onnx", "--input", folder / "rows.npy", "--no-explain", *more).stdout


def wrong_usage(*words) -> str:
    """What stderr says of a command that is used wrongly, on one line and without the box around it."""
    return " ".join(call("explain", *words, status=2).stderr.replace("│", " ").split())


def test_predictions(switched):
    lines = explain(switched).splitlines()
    assert lines[0].startswith("No relevance (explain=False)")
    assert lines[1].startswith("sample 0: class")
    found = json.loads(explain(switched, "--json"))
    assert set(found) == {"target", "score", "outputs"} and len(found["outputs"]["output_label"]) == 20


def test_a_folder_of_outputs(switched):
    explain(switched, "-o", switched / "results", "--batch-size", "8")
    (first, *_) = sorted((switched / "results").glob("*.npz"))
    assert "features_relevance" not in np.load(first) and len(np.load(first)["output_label"]) == 8


def test_what_needs_relevance_is_refused(switched):
    given = ["--input", switched / "rows.npy", "--no-explain"]
    model = switched / "wine.lrp.onnx"
    assert "no relevance to write" in wrong_usage(model, *given, "-o", switched / "out.csv")
    assert not (switched / "out.csv").exists()
    assert "is about relevance" in wrong_usage(model, *given, "--reference", switched / "rows.npy")


def test_a_model_without_a_switch_is_refused(switched):
    assert "--on-demand" in wrong_usage(WINE, "--input", switched / "rows.npy", "--no-explain")
