"""torchvision's networks in float32 by onnxruntime: not further from Zennit in float64 than Zennit's own float32 is.

The error is the relative L2 distance; of five seeds (of weights, batch-norm statistics, picture) the median counts,
and must be at most max(2 × Zennit's, 1e-4). Depths and widths are the originals; to keep this within minutes on two
cores the pictures are smaller than 224 pixels, see `SIZES`, and so AlexNet and VGG, whose heads are tied to that size,
pool to what their features then are and have a smaller first dense layer.
"""

from __future__ import annotations

import copy
import io
import statistics

import numpy as np
import onnx
import pytest

from tests.oracle.composites import of_package
from tests.peers.torch_nets import explain, nn, torch

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # torch warns of its own exporter
models = pytest.importorskip("torchvision.models")
ResNetCanonizer = pytest.importorskip("zennit.torchvision").ResNetCanonizer
onnxruntime = pytest.importorskip("onnxruntime")

SEEDS = range(5)
SIZES = {"alexnet": 95, "vgg11_bn": 64, "resnet18": 96, "resnet50": 64, "squeezenet1_1": 96, "googlenet": 96}
COMPOSITES = ["epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1"]
BOX = {"low": -2.5, "high": 2.5}


def build(name: str, seed: int):
    torch.manual_seed(seed)
    extra = {"aux_logits": False, "init_weights": True} if name == "googlenet" else {}
    module = getattr(models, name)(weights=None, **extra).eval()
    if name in ("alexnet", "vgg11_bn"):
        with torch.no_grad():
            features = module.features(torch.zeros(1, 3, SIZES[name], SIZES[name]))
        module.avgpool = nn.AdaptiveAvgPool2d(features.shape[-1])
        first = next(i for i, part in enumerate(module.classifier) if isinstance(part, nn.Linear))
        module.classifier[first] = nn.Linear(features[0].numel(), 4096)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5)
            part.bias.data.normal_(0, 0.2)
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    return module


def export(module, x: np.ndarray) -> onnx.ModelProto:
    file = io.BytesIO()
    torch.onnx.export(
        module,
        (torch.from_numpy(x),),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["scores"],
        training=torch.onnx.TrainingMode.PRESERVE,
    )
    return onnx.load_from_string(file.getvalue())


def run(proto: onnx.ModelProto, x: np.ndarray, **extra: np.ndarray) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x, **extra}), strict=True))


def distance(ours: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(ours - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("name", SIZES)
def test_float32(name):
    import onnxlrp

    ours: dict[str, list[float]] = {composite: [] for composite in COMPOSITES}
    zennits: dict[str, list[float]] = {composite: [] for composite in COMPOSITES}
    for seed in SEEDS:
        module = build(name, seed)
        double = copy.deepcopy(module).double()
        x = np.random.default_rng(seed).uniform(-2, 2, size=(1, 3, SIZES[name], SIZES[name])).astype(np.float32)
        model = export(module, x)
        source = run(model, x)["scores"]
        with torch.no_grad():
            target = int(double(torch.from_numpy(x).double()).argmax())
        for composite in COMPOSITES:
            params = BOX if composite == "epsilon_gamma_box" else {}
            canonizer = ResNetCanonizer()
            truth = explain(double, x.astype(np.float64), composite, canonizer, params, target)
            zennits[composite].append(distance(explain(module, x, composite, canonizer, params, target), truth))
            proto = onnxlrp.convert(model, composite=of_package(composite, **params)).to_proto()
            # given, because float32 and float64 could predict different classes
            outputs = run(proto, x, target=np.array([target]))
            ours[composite].append(distance(outputs["x_relevance"], truth))
            np.testing.assert_allclose(outputs["scores"], source, rtol=1e-5, atol=1e-5 * np.abs(source).max())
    for composite in COMPOSITES:
        mine, theirs = statistics.median(ours[composite]), statistics.median(zennits[composite])
        print(f"{name} {composite}: {mine:.1e}, Zennit {theirs:.1e}")
    for composite in COMPOSITES:
        mine, theirs = statistics.median(ours[composite]), statistics.median(zennits[composite])
        assert mine <= max(2 * theirs, 1e-4), f"{composite}: {mine:.1e}, Zennit's own {theirs:.1e}"
