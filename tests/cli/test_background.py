"""`--background FILE` on the command line."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx
import pytest

from tests.cli.test_commands import call, refused
from tests.operators.draws.classical import Drawing, by_numbers, samples, single


@pytest.fixture
def forest(tmp_path):
    """A forest of four columns, and rows for it."""
    trees = by_numbers(Drawing().forest(np.random.default_rng(0), 4), "target")
    onnx.save(single("TreeEnsembleRegressor", n_targets=1, **trees), tmp_path / "forest.onnx")
    rows = samples(np.random.default_rng(1), 50).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    np.savez(tmp_path / "rows.npz", x=rows)
    np.savetxt(tmp_path / "rows.csv", rows, delimiter=",")
    np.save(tmp_path / "sample.npy", rows[:2])
    return tmp_path


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_the_plan_names_the_rows(forest, suffix):
    shown = call("inspect", forest / "forest.onnx", "--background", forest / f"rows.{suffix}", "--json")
    assert "the background's 50 rows" in json.loads(shown.stdout)["plan"][0]["why"]


def test_convert_and_explain(forest):
    model, rows = forest / "forest.onnx", forest / "rows.npy"
    out = forest / "forest.lrp.onnx"
    call("convert", model, "-o", out, "--background", rows)
    assert "nodes_hitrates" in {a.name for n in onnx.load(out).graph.node for a in n.attribute}
    given = "--input", f"x={forest / 'sample.npy'}"
    call("explain", model, *given, "--background", rows, "-o", forest / "counted.npz")
    call("explain", model, *given, "-o", forest / "grid.npz")
    counted, grid = (np.load(forest / f"{name}.npz") for name in ("counted", "grid"))
    name = next(n for n in counted.files if "relevance" in n)
    assert not np.allclose(counted[name], grid[name])
    refusal = call("explain", out, *given, "--background", rows, status=2)
    assert "--background" in refusal.stderr


def test_centres_of_rows(forest):
    """As many centres as rows need no k-means; the source of the rows cannot be overwritten with them either."""
    options = ["--composite", "auto(trees='interventional')", "--background", f"kmeans=60:{forest / 'rows.npy'}"]
    shown = call("inspect", forest / "forest.onnx", *options, "--json")
    assert "centres of the background's 50 rows" in json.loads(shown.stdout)["plan"][0]["why"]
    out = forest / "forest.lrp.onnx"
    said = call("convert", forest / "forest.onnx", "-o", out, *options)
    assert "centres of background rows" in said.stderr
    refusal = call("convert", forest / "forest.onnx", "-o", forest / "rows.npy", *options, "--force", status=2)
    assert "rows.npy" in refusal.stderr


def test_rows_that_cannot_be_read(forest):
    missing = forest / "none.npy"
    assert "none.npy" in refused("convert", forest / "forest.onnx", "-o", forest / "o.onnx", "--background", missing)
    refused_out = call(
        "convert",
        forest / "forest.onnx",
        "-o",
        forest / "rows.npy",
        "--background",
        forest / "rows.npy",
        "--force",
        status=2,
    )
    # The frame breaks long paths where a line ends.
    assert "rows.npy" in re.sub(r"\s*│\n│\s*", "", refused_out.stderr)
