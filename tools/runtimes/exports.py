"""Small exports of kinds that models/ lacks, with random weights: from torch, scikit-learn and XGBoost.

Square weights, overlapping pools, a cache-free decoder by token, eight and sixteen bits, trees and kernels: what stops
runtimes, or makes them wrong, at a size that takes a second.
"""

from __future__ import annotations

import functools
import io
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx

from tools.runtimes.subjects import Subject

Samples = Mapping[str, np.ndarray]
Made = tuple[onnx.ModelProto, Samples]


def exports() -> list[Subject]:
    """List the exports; each is made when it is loaded."""
    found = []
    for name, (make, composites, options) in _MAKERS.items():
        made = functools.cache(make)
        for composite in composites:
            load, feeds = functools.partial(_part, made, 0), functools.partial(_part, made, 1)
            found.append(Subject(name, load, feeds, composite, options))
    return found


def _part(made: Callable[[], Made], index: int) -> Any:
    return made()[index]


def _draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


def _torch(module: Any, samples: Samples) -> Made:
    """Export a module by torch's TorchScript exporter, with any number of samples."""
    import torch

    buffer, arguments = io.BytesIO(), tuple(torch.from_numpy(array) for array in samples.values())
    axes = {name: {0: "N"} for name in (*samples, "logits")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            *(module.eval(), arguments, buffer),
            input_names=list(samples),
            output_names=["logits"],
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue()), samples


def _seeded(make: Callable[[], Made]) -> Callable[[], Made]:
    """Draw weights that are the same in every run."""

    @functools.wraps(make)
    def seeded() -> Made:
        import torch

        # torchvision registers operators that a torch without CUDA does not have.
        sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("_meta_registrations"))
        torch.manual_seed(3)
        return make()

    return seeded


@_seeded
def bottlenecks() -> Made:
    """ResNet's stem with a pool of overlapping windows, and blocks with square 1 × 1 convolutions."""
    import torchvision

    network = torchvision.models.resnet.ResNet(torchvision.models.resnet.Bottleneck, [2, 1, 1, 1], num_classes=10)
    network.layer3, network.layer4 = network.layer3.__class__(), network.layer4.__class__()
    network.fc = network.fc.__class__(512, 10)
    return _torch(network, {"image": _draw(2, 3, 64, 64)})


@_seeded
def inverted_residuals() -> Made:
    """MobileNetV3's blocks: depthwise convolutions, squeeze and excitation, hard swish."""
    import torchvision

    return _torch(torchvision.models.mobilenet_v3_small(num_classes=10), {"image": _draw(2, 3, 64, 64)})


@_seeded
def dense_blocks() -> Made:
    """DenseNet's blocks: concatenation of all earlier maps."""
    import torchvision

    network = torchvision.models.densenet.DenseNet(12, (2, 2, 2), 32, num_classes=10)
    return _torch(network, {"image": _draw(2, 3, 64, 64)})


@_seeded
def encoder() -> Made:
    """A transformer of torch's own layers on a series, with square weights of 64."""
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, activation="gelu")
            self.square, self.head = nn.Linear(64, 64), nn.Linear(64, 5)

        def forward(self, series: Any) -> Any:
            return self.head(self.square(self.inner(series)).relu().mean(1))

    return _torch(Encoder(), {"series": _draw(2, 12, 64)})


@_seeded
def decoder() -> Made:
    """GPT-2 with two layers, explained by token."""
    import transformers
    from torch import nn

    config = transformers.GPT2Config(
        vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2, attn_implementation="eager", use_cache=False
    )

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = transformers.GPT2LMHeadModel(config)

        def forward(self, input_ids: Any) -> Any:
            return self.inner(input_ids=input_ids, use_cache=False, return_dict=False)[0]

    return _torch(Logits(), {"input_ids": np.arange(16, dtype=np.int64).reshape(2, 8) % 50})


@_seeded
def gated_units() -> Made:
    """A GRU in two directions with a dense head."""
    from torch import nn

    class Units(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.GRU(6, 16, bidirectional=True, batch_first=True)
            self.head = nn.Linear(32, 4)

        def forward(self, series: Any) -> Any:
            return self.head(self.inner(series)[0].mean(1))

    return _torch(Units(), {"series": _draw(2, 9, 6)})


def halves() -> Made:
    """A bundled network in float16."""
    from onnxconverter_common import float16

    from tools.runtimes.subjects import MODELS, samples

    path = MODELS / "pictures_resnet" / "pictures_resnet.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = float16.convert_float_to_float16(onnx.load(path))
    return model, {name: array.astype(np.float16) for name, array in samples(path).items()}


def eight_bits() -> Made:
    """A bundled network, quantised by onnxruntime to eight bits."""
    import tempfile
    from pathlib import Path

    from onnxruntime import quantization

    from tools.runtimes.subjects import MODELS, samples

    path = MODELS / "digits_cnn" / "digits_cnn.torchscript.onnx"

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [dict(samples(path))]

        def get_next(self) -> Any:
            return self.left.pop() if self.left else None

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "quantised.onnx"
        quantization.quantize_static(path, out, Reader())
        return onnx.load(out), samples(path)


def _classification() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_wine

    rows, classes = load_wine(return_X_y=True)
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32), classes


def _sklearn(estimator: Any) -> Made:
    from skl2onnx import to_onnx

    rows, classes = _classification()
    fitted = estimator.fit(rows, classes)
    return to_onnx(fitted, rows[:1], options={"zipmap": False}, target_opset=17), {"X": rows[::90][:2]}


def forest() -> Made:
    """A random forest of scikit-learn."""
    from sklearn.ensemble import RandomForestClassifier

    return _sklearn(RandomForestClassifier(10, max_depth=4, random_state=0))


def boosted() -> Made:
    """Boosted trees of XGBoost."""
    import xgboost
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    rows, classes = _classification()
    fitted = xgboost.XGBClassifier(n_estimators=8, max_depth=3, random_state=0).fit(rows, classes)
    model = convert_xgboost(fitted, initial_types=[("X", FloatTensorType([None, rows.shape[1]]))], target_opset=15)
    return model, {"X": rows[::90][:2]}


def kernels() -> Made:
    """A support vector machine with an RBF kernel."""
    from sklearn.svm import SVC

    return _sklearn(SVC(probability=False))


def logistic() -> Made:
    """A scaler and a logistic regression in one pipeline."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _sklearn(make_pipeline(StandardScaler(), LogisticRegression()))


_MAKERS: dict[str, tuple[Callable[[], Made], tuple[str, ...], dict[str, Any]]] = {
    "bottlenecks": (bottlenecks, ("auto", "epsilon", "epsilon_plus"), {}),
    "inverted_residuals": (inverted_residuals, ("auto", "epsilon"), {}),
    "dense_blocks": (dense_blocks, ("auto", "epsilon"), {}),
    "encoder": (encoder, ("auto", "epsilon", "gradient_x_input"), {}),
    "decoder": (decoder, ("auto", "epsilon"), {"target": "token"}),
    "gated_units": (gated_units, ("auto",), {}),
    "halves": (halves, ("auto", "epsilon"), {}),
    "eight_bits": (eight_bits, ("auto",), {}),
    "forest": (forest, ("auto",), {}),
    "boosted": (boosted, ("auto",), {}),
    "kernels": (kernels, ("auto",), {}),
    "logistic": (logistic, ("auto",), {}),
}
