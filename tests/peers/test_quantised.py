"""Networks of real depth, quantised by onnxruntime's own tools in each of its formats."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import onnxlrp

torch = pytest.importorskip("torch")
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
torchvision = pytest.importorskip("torchvision")
pytest.importorskip("sympy")
quantization = pytest.importorskip("onnxruntime.quantization")
pytestmark = pytest.mark.peers

STATIC = {
    "QDQ": {"quant_format": quantization.QuantFormat.QDQ},
    "QDQ, per channel": {"quant_format": quantization.QuantFormat.QDQ, "per_channel": True},
    "QDQ, 16 bits": {
        "quant_format": quantization.QuantFormat.QDQ,
        "activation_type": quantization.QuantType.QInt16,
        "weight_type": quantization.QuantType.QInt8,
    },
    "QOperator": {"quant_format": quantization.QuantFormat.QOperator},
    "QOperator, per channel": {
        "quant_format": quantization.QuantFormat.QOperator,
        "activation_type": quantization.QuantType.QUInt8,
        "per_channel": True,
    },
}


class Pictures(quantization.CalibrationDataReader):
    """Random ones."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.left = iter([{"x": rng.normal(size=(1, 3, 64, 64)).astype(np.float32)} for _ in range(8)])

    def get_next(self) -> dict | None:
        return next(self.left, None)


@pytest.fixture(scope="module", params=["resnet18", "mobilenet_v2"])
def network(request, tmp_path_factory) -> Path:
    """Random weights, batch norms with the statistics of random pictures."""
    torch.manual_seed(0)
    model = getattr(torchvision.models, request.param)(num_classes=100).train()
    with torch.no_grad():
        for _ in range(4):
            model(torch.randn(16, 3, 64, 64))
    folder = tmp_path_factory.mktemp(request.param)
    names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    torch.onnx.export(
        model.eval(), torch.randn(1, 3, 64, 64), str(folder / "all.onnx"), dynamo=False, opset_version=17, **names
    )
    quantization.quant_pre_process(str(folder / "all.onnx"), str(folder / "float.onnx"), skip_symbolic_shape=True)
    return folder / "float.onnx"


def run(model: onnx.ModelProto | str, feeds: dict, optimise: bool = True) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    given = model if isinstance(model, str) else model.SerializeToString()
    session = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("kind", [*STATIC, "dynamic"])
def test_outputs_keep_their_bits_and_relevance_stays(network, kind, tmp_path):
    path = str(tmp_path / "quantised.onnx")
    if kind == "dynamic":
        quantization.quantize_dynamic(str(network), path, weight_type=quantization.QuantType.QUInt8)
    else:
        quantization.quantize_static(str(network), path, Pictures(), **STATIC[kind])
    x = {"x": np.random.default_rng(5).normal(size=(2, 3, 64, 64)).astype(np.float32)}
    source = run(path, x)["y"]
    target = {"target": source.argmax(1)}
    explained = onnxlrp.convert(path, "epsilon_plus", ledger=True).to_proto()
    found = run(explained, {**x, **target})
    np.testing.assert_array_equal(found["y"], source)
    floats = run(onnxlrp.convert(network, "epsilon_plus").to_proto(), {**x, **target})
    for ours, theirs in zip(found["x_relevance"], floats["x_relevance"], strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-5 * np.abs(source).max())
    # In floats that keep the rounding steps; where the processor's products of bytes saturate, outputs differ as well.
    unfused = run(explained, {**x, **target}, optimise=False)
    if np.array_equal(unfused["y"], found["y"]):
        away = np.linalg.norm(unfused["x_relevance"] - found["x_relevance"])
        assert away <= 1e-4 * np.linalg.norm(found["x_relevance"])
