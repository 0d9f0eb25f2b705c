"""Interactions on the command line: asked for, named, and written with an explanation."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest

from tests.cli.test_commands import WINE, call, refused
from tests.operators.draws.classical import Drawing, by_numbers, samples, single


@pytest.fixture
def forest(tmp_path):
    """A small forest, and rows for it."""
    rng = np.random.default_rng(0)
    trees = by_numbers(Drawing(depth=3).forest(rng, 4), "target", hit_rates=True)
    onnx.save(single("TreeEnsembleRegressor", n_targets=1, **trees), tmp_path / "forest.onnx")
    np.save(tmp_path / "rows.npy", samples(rng, 3).astype(np.float32))
    return tmp_path


def test_interactions(forest):
    """`convert` names the output; `explain` writes the numbers to .json and .npz."""
    explained = forest / "forest.lrp.onnx"
    said = call("convert", forest / "forest.onnx", "-o", explained, "--interactions").stdout
    assert "interactions of 4 columns are output 'x_interactions'" in said
    for suffix in ("json", "npz"):
        call("explain", explained, "--input", f"x={forest / 'rows.npy'}", "-o", forest / f"out.{suffix}")
    written = np.load(forest / "out.npz")["interactions"]
    assert written.shape == (3, 4, 4)
    from_json = np.array(json.loads((forest / "out.json").read_text())["interactions"])
    np.testing.assert_allclose(from_json, written, rtol=1e-6)
    assert np.load(forest / "out.npz")["x_relevance"].shape == (3, 4)
    np.testing.assert_allclose(written.sum(2), np.load(forest / "out.npz")["x_relevance"], atol=1e-6)


def test_models_without_trees_are_refused(tmp_path):
    said = refused("convert", WINE, "-o", tmp_path / "out.onnx", "--interactions")
    assert "tree ensembles" in said
