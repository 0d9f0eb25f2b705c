"""Explained files of earlier versions run unchanged. The files in tests/data/version_0_1_0 were written by 0.1.0."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import onnxlrp

FOLDER = Path(__file__).parents[1] / "data" / "version_0_1_0"
CALLS = {
    "class": {"target": [2, 0, 1]},
    "token": {"target": [2, 0, 1], "position": [0, 1, 2]},
    "weights": {},
}
"""The choice of each kind of target with which 0.1.0 computed the relevance that is kept beside the files."""


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
@pytest.mark.parametrize("kind", CALLS)
def test_files_of_0_1_0_explain_as_they_did(kind):
    arrays = np.load(FOLDER / "relevance.npz")
    explainer = onnxlrp.Explainer(FOLDER / f"{kind}.onnx", providers=["CPUExecutionProvider"])
    assert explainer.interface.version == "0.1.0"
    x = arrays[f"{kind}_x"]
    chosen = CALLS[kind] or {"weights": arrays["weights"]}
    np.testing.assert_allclose(explainer({"x": x}).relevance["x"], arrays[f"{kind}_default"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        explainer({"x": x}, **chosen).relevance["x"], arrays[f"{kind}_chosen"], rtol=1e-5, atol=1e-6
    )
