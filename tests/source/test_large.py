"""Weights are never read: a model of four gigabytes converts in a fraction of that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import onnxlrp
from tests.source.deep import transformer
from tests.source.llama import llama

BILLION = {"layers": 16, "width": 2048, "heads": 32, "groups": 8, "inner": 8192, "vocabulary": 32000}
_CONVERT = """
import resource, sys
import onnxlrp

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
explained = onnxlrp.convert(sys.argv[1], sys.argv[2], target="token")
converted = peak() - before
explained.save(sys.argv[3], share_weights=True)
print(converted, peak() - before, len(explained.plan.steps))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is not on Windows")
@pytest.mark.parametrize("composite", ["attn_lrp", "cp_lrp(gamma=0.1)"])
def test_a_billion_parameters(composite, tmp_path):
    path, size = llama(tmp_path, **BILLION)
    assert size > 4_000_000_000
    target = tmp_path / "explained.onnx"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", _CONVERT, str(path), composite, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=300)
    converted, saved, steps = map(int, done.stdout.split())
    assert converted < 500_000_000 and saved < 500_000_000
    assert steps > 16 * 30
    assert target.stat().st_size < 10_000_000


def test_the_same_model_small_and_with_weights(tmp_path):
    """Without biases CP-LRP gives all of the logit to the tokens; those behind the position get nothing."""
    sizes = {"layers": 2, "width": 32, "heads": 4, "groups": 2, "inner": 48, "vocabulary": 61}
    path, size = llama(tmp_path, **sizes)
    weights = np.random.default_rng(0).normal(size=size // 4).astype(np.float32) / 4
    (tmp_path / "llama.weights").write_bytes(weights.tobytes())
    explainer = onnxlrp.Explainer(onnxlrp.convert(path, "cp_lrp", target="token"), providers=["CPUExecutionProvider"])
    explanation = explainer({"input_ids": np.arange(18).reshape(3, 6)}, position=3)
    relevance = explanation.relevance["input_ids"]
    assert not relevance[:, 4:].any()
    np.testing.assert_allclose(relevance.sum(1), explanation.score, rtol=1e-3)


def test_past_two_gigabytes_without_two_gigabytes(tmp_path, monkeypatch):
    """Weights go to a file beside the model; shapes and axes stay inside, where onnxruntime wants them."""
    explained = onnxlrp.convert(transformer(1, width=32), "attn_lrp")
    expected = onnxlrp.Explainer(explained)
    monkeypatch.setattr("onnxlrp.finish.save._LIMIT", 10_000)
    explained.save(tmp_path / "model.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    x = np.random.default_rng(0).normal(size=(2, 5, 32)).astype(np.float32)
    found = onnxlrp.Explainer(tmp_path / "model.onnx")({"x": x})
    np.testing.assert_array_equal(found.relevance["x"], expected({"x": x}).relevance["x"])
