"""torchvision's networks in float32 by onnxruntime: not further from Zennit in float64 than Zennit's own float32 is.

The error is the relative L2 distance; of five seeds (of weights, batch-norm statistics, picture) the median counts,
and must be at most max(2 × Zennit's, 1e-4). Depths and widths are the originals. To keep this within minutes on two
cores, the pictures are smaller than 224 pixels, see `SIZES`; AlexNet and VGG, whose heads are tied to that size, pool
to what their features then are and have a smaller first dense layer; and the `HEAVY` ones keep their weights, so that
five seeds are five pictures.
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
HEAVY = ("alexnet", "vgg11_bn", "resnet18", "resnet50")
COMPOSITES = ["epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box", "epsilon_alpha2_beta1"]
BOX = {"low": -2.5, "high": 2.5}


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine two threads of torch mostly wait for each other: minutes instead of seconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


def session(proto: onnx.ModelProto):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # several sessions live at once, and waiting threads would spin
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Subject:
    """A network with its truth in float64, exported and converted with each composite."""

    def __init__(self, name: str, seed: int):
        import onnxlrp

        self.module = build(name, seed)
        self.double = copy.deepcopy(self.module).double()
        source = export(self.module, picture(name, seed))
        self.source = session(source)
        self.explained = {
            composite: session(onnxlrp.convert(source, composite=of_package(composite, **params(composite))).to_proto())
            for composite in COMPOSITES
        }


def picture(name: str, seed: int) -> np.ndarray:
    size = (1, 3, SIZES[name], SIZES[name])
    return np.random.default_rng(seed).uniform(-2, 2, size=size).astype(np.float32)


def params(composite: str) -> dict[str, float]:
    return BOX if composite == "epsilon_gamma_box" else {}


def distance(ours: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(ours - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("name", SIZES)
def test_float32(name):
    ours: dict[str, list[float]] = {composite: [] for composite in COMPOSITES}
    zennits: dict[str, list[float]] = {composite: [] for composite in COMPOSITES}
    subject = None
    for seed in SEEDS:
        if subject is None or name not in HEAVY:
            subject = Subject(name, seed)
        x = picture(name, seed)
        wide = x.astype(np.float64)
        (scores,) = subject.source.run(None, {"x": x})
        with torch.no_grad():
            target = int(subject.double(torch.from_numpy(wide)).argmax())
        for composite in COMPOSITES:
            options = (composite, ResNetCanonizer(), params(composite), target)
            truth = explain(subject.double, wide, *options)
            zennits[composite].append(distance(explain(subject.module, x, *options), truth))
            # the target is given, because float32 and float64 could predict different classes
            names = ["scores", "x_relevance"]
            mine, relevance = subject.explained[composite].run(names, {"x": x, "target": np.array([target])})
            ours[composite].append(distance(relevance, truth))
            np.testing.assert_allclose(mine, scores, rtol=1e-5, atol=1e-5 * np.abs(scores).max())
    medians = {c: (statistics.median(ours[c]), statistics.median(zennits[c])) for c in COMPOSITES}
    for composite, (mine, theirs) in medians.items():
        print(f"{name} {composite}: {mine:.1e}, Zennit {theirs:.1e}")
    far = {c: pair for c, pair in medians.items() if pair[0] > max(2 * pair[1], 1e-4)}
    assert not far, f"further from float64 than twice Zennit: {far}"
