"""Base value, raw score and names of columns on the command line."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from tests.cli.test_commands import call
from tests.runtime.test_base_value import AFFINE, WITHOUT, X, classifier


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    np.savetxt(path, X[:3], delimiter=",", header="income,age,debt,years", comments="")
    return path


@pytest.fixture
def saved(tmp_path):
    def save(source):
        onnx.save(source, tmp_path / "model.onnx")
        return tmp_path / "model.onnx"

    return save


def test_explain_lists_what_adds_up(saved, table, tmp_path):
    model = saved(classifier(2, given=1, post_transform="LOGISTIC"))
    shown = call("explain", model, "--input", f"x={table}", "-o", tmp_path / "out.csv").stdout
    for words in ("base value", "raw score", "all others", "income", "base value + Σ relevance = raw score"):
        assert words in shown
    head, *rows = (tmp_path / "out.csv").read_text().splitlines()
    names = head.split(",")
    assert names[:7] == ["target", "label", "score", "base_value", "total_relevance", "raw_score", "income"]
    for row in rows:
        cells = dict(zip(names, map(float, row.split(",")), strict=True))
        total = sum(cells[f"{name}_relevance"] for name in ("income", "age", "debt", "years"))
        assert abs(total - cells["total_relevance"]) < 1e-5 and cells["target"] in (0, 1)
        assert abs(total + cells["base_value"] - cells["raw_score"]) < 1e-5
    samples = json.loads(call("explain", model, "--input", f"x={table}", "--json").stdout)["samples"]
    for sample in samples:
        assert abs(sample["base_value"] + sample["relevance"]["x"] - sample["raw_score"]) < 1e-5
        assert abs(1 / (1 + np.exp(-sample["raw_score"])) - sample["score"]) < 1e-5


def test_a_score_that_is_the_sum_is_listed_once(saved, table):
    shown = call("explain", saved(AFFINE["a linear model beside it"]), "--input", f"x={table}").stdout
    assert "base value + Σ relevance = score" in shown and "raw score" not in shown


def test_a_folder_holds_them(saved, table, tmp_path):
    model = saved(classifier(3, post_transform="SOFTMAX"))
    shown = call("explain", model, "--input", f"x={table}", "-o", tmp_path / "results").stdout
    assert "base_value float64 [3]" in shown and "raw_score float64 [3]" in shown


def test_check_counts_the_base_as_no_loss(saved, table):
    model = saved(AFFINE["scaled and shifted"])
    shown = call("check", model, "--input", f"x={table}").stdout
    assert "base value, no loss" in shown
    sums = json.loads(call("check", model, "--input", f"x={table}", "--json").stdout)["conservation"]
    assert abs(sums["bias"]) < 1e-5 and abs(sums["seeds"] - sums["inputs"]["x"] - sums["base"]) < 1e-5
    other = call("check", saved(WITHOUT["a nonlinear layer"][0]), "--input", f"x={table}").stdout
    assert "base value" not in other.replace("a base value need not", "") and "absorbed by biases" in other
