"""What torch exports, converted and run in float64, against Zennit's composites on the module itself."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest

from tests.oracle.compare import TOLERANCE, Explained, error
from tests.oracle.composites import of_package
from tests.oracle.zoo import NETS
from tests.peers.torch_nets import COMPOSITES, TorchNet, explain, nn, torch

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # torch warns of its own exporter
resnet = pytest.importorskip("torchvision.models.resnet")
ResNetCanonizer = pytest.importorskip("zennit.torchvision").ResNetCanonizer

BOX = {"low": -2.0, "high": 2.0}
# networks with uneven pads, auto_pad, and layers that torch writes otherwise are compared with the oracle only
LIKE_TORCH = ["symmetric", "depthwise", "transposed", "one_dimensional", "residual", "inception"]


def export(module, x: np.ndarray, fold: bool = True) -> onnx.ModelProto:
    """With torch's TorchScript exporter; `fold`: batch norms go into convolutions on the way, as is its default."""
    file = io.BytesIO()
    torch.onnx.export(
        module,
        (torch.from_numpy(x),),
        file,
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["scores"],
        dynamic_axes={"x": {0: "N"}, "scores": {0: "N"}},
        training=torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE,
    )
    return onnx.load_from_string(file.getvalue())


def settle(module) -> None:
    """Seeded weights in float64, batch norm as after training."""
    generator = torch.Generator().manual_seed(7)
    module.double().eval()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for values, low, high in (
                (part.weight.data, -1.5, 1.5),
                (part.bias.data, -0.5, 0.5),
                (part.running_mean, -0.5, 0.5),
                (part.running_var, 0.5, 2.0),
            ):
                values.uniform_(low, high, generator=generator)
        elif hasattr(part, "weight"):
            bound = 1.5 / part.weight[0].numel() ** 0.5
            part.weight.data.uniform_(-bound, bound, generator=generator)
            if part.bias is not None:
                part.bias.data.uniform_(-0.3, 0.3, generator=generator)


def basic_blocks():
    """A small ResNet of torchvision's own blocks."""
    project = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, stride=2, padding=2, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        resnet.BasicBlock(6, 6),
        resnet.BasicBlock(6, 8, stride=2, downsample=project),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def bottlenecks():
    """The same with torchvision's bottlenecks, the second one dilated."""
    project = nn.Sequential(nn.Conv2d(6, 8, 1, bias=False), nn.BatchNorm2d(8))
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        resnet.Bottleneck(6, 2, downsample=project),
        resnet.Bottleneck(8, 2, dilation=2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * 9, 5),
    )


def plain_vgg():
    """Convolutions, max pools, dropout, and a head of several dense layers."""
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2),
        nn.Flatten(),
        nn.Linear(6 * 4, 10),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(10, 5),
    )


MODULES = {make.__name__: make for make in (basic_blocks, bottlenecks, plain_vgg)}
# Zennit's BetaSmooth remembers one input per module: wrong for torchvision's blocks, whose ReLU is used several times,
# and wherever ReLU works in place
PAIRS = [(make, name) for make in MODULES for name in COMPOSITES if name != "beta_smooth" or make == "plain_vgg"]
# a batch norm that no layer took in: docs/rules.md passes it, Zennit's ExcitationBackprop gives it its plain gradient
NET_PAIRS = [
    (net, name) for net in LIKE_TORCH for name in COMPOSITES if (net, name) != ("residual", "excitation_backprop")
]


def _params(name: str) -> dict[str, float]:
    return BOX if name == "epsilon_gamma_box" else {}


@pytest.mark.parametrize(("make", "name"), PAIRS)
@pytest.mark.parametrize("fold", [True, False])
def test_modules(make, name, fold):
    module = MODULES[make]()
    settle(module)
    x = np.random.default_rng(0).uniform(-2, 2, size=(2, 3, 12, 12))
    ours = Explained(export(module, x, fold), composite=of_package(name, **_params(name))).relevance({"x": x})["x"]
    theirs = explain(module, x, name, ResNetCanonizer(), _params(name))
    assert error(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize(("net", "name"), NET_PAIRS)
def test_networks(net, name):
    network = NETS[net]()
    x = network.feeds(low=-2.0, high=2.0)["x"]
    model = export(TorchNet(network, plain=True), x, fold=False)
    ours = Explained(model, composite=of_package(name, **_params(name))).relevance({"x": x})["x"]
    theirs = explain(TorchNet(network), x, name, params=_params(name))
    assert error(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("make", ["basic_blocks", "plain_vgg"])
def test_the_other_exporter(make):
    """`dynamo=True` writes another graph of the same network."""
    module = MODULES[make]()
    settle(module)
    x = np.random.default_rng(0).uniform(-2, 2, size=(2, 3, 12, 12))
    program = torch.onnx.export(module, (torch.from_numpy(x),), dynamo=True, input_names=["x"], verbose=False)
    ours = Explained(program.model_proto, composite="epsilon_plus_flat").relevance({"x": x})["x"]
    theirs = explain(module, x, "epsilon_plus_flat", ResNetCanonizer())
    assert error(ours, theirs) <= TOLERANCE
