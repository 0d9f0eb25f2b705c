"""Networks of real depth as onnxruntime, onnxslim and onnxsim optimise them offline: explained as before."""

from __future__ import annotations

import functools
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxlrp
from tests.operators.case import onnxruntime

torch = pytest.importorskip("torch")
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
torchvision = pytest.importorskip("torchvision")
pytestmark = pytest.mark.peers

NAMES = ["resnet18", "mobilenet_v2", "densenet121", "googlenet"]
LEVELS = ["BASIC", "EXTENDED", "LAYOUT", "ALL"]


@functools.cache
def exported(name: str, folder: Path) -> Path:
    """Random weights, batch norms with the statistics of random pictures."""
    torch.manual_seed(0)
    more = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    model = getattr(torchvision.models, name)(num_classes=50, **more).train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(8, 3, 64, 64))
    path = folder / f"{name}.onnx"
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    torch.onnx.export(model.eval(), torch.randn(1, 3, 64, 64), path, dynamo=False, **names)
    return path


def optimised(path: Path, by: str) -> onnx.ModelProto:
    if by == "onnxslim":
        return pytest.importorskip("onnxslim").slim(str(path))
    if by == "onnxsim":
        return pytest.importorskip("onnxsim").simplify(onnx.load(path))[0]
    options = ort.SessionOptions()
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{by}")
    options.optimized_model_filepath = str(path.with_suffix(f".{by}.onnx"))
    options.log_severity_level = 4
    ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return onnx.load(options.optimized_model_filepath)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("optimised")


@pytest.mark.parametrize("by", [*LEVELS, "onnxslim", "onnxsim"])
@pytest.mark.parametrize("name", NAMES)
def test_optimised_models(name, by, folder):
    path = exported(name, folder)
    model = optimised(path, by)
    x = {"x": np.random.default_rng(0).normal(size=(2, 3, 64, 64)).astype(np.float32)}
    ours, theirs = (onnxruntime(onnxlrp.convert(m, "epsilon_plus").to_proto())(x) for m in (model, path))
    source = onnxruntime(onnx.load(path))(x)
    np.testing.assert_allclose(ours["y"], source["y"], rtol=1e-5, atol=1e-5 * np.abs(source["y"]).max())
    difference = np.linalg.norm(ours["x_relevance"] - theirs["x_relevance"])
    assert difference < 1e-3 * np.linalg.norm(theirs["x_relevance"])
