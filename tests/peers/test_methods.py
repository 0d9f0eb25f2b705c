"""Other methods of explanation against Captum, which computes them in torch, in float64."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest

from tests.oracle.compare import Explained

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")
pytestmark = pytest.mark.peers
nn = torch.nn

Array = np.ndarray
RNG = np.random.default_rng(11)
CLOSE = {"rtol": 1e-6, "atol": 1e-12}


class Convolutional(nn.Module):
    """Two convolutions, a max pool, smooth and piecewise linear activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, stride=2)
        self.head = nn.Linear(6 * 9, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.first(x)), 2)
        return self.head(torch.sigmoid(self.last(x)).flatten(1))


PICTURES = RNG.normal(size=(3, 3, 15, 15))
CLASSES = [2, 0, 3]


def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(4)
    return kind().double().eval()


def explained(module: nn.Module, x: Array, composite: str, **options: Any) -> Explained:
    """The module as torch's older exporter writes it, with any number of samples, converted."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.from_numpy(x),),
            file,
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "n"}},
        )
    return Explained(file.getvalue(), composite=composite, **options)


def relevance(module: nn.Module, x: Array, composite: str) -> Array:
    return explained(module, x, composite).relevance({"x": x}, target=CLASSES)["x"]


def test_grad_cam():
    module = made(Convolutional)
    found = attr.LayerGradCam(module, module.last).attribute(
        torch.from_numpy(PICTURES), torch.tensor(CLASSES), relu_attributions=True
    )
    peer = attr.LayerAttribution.interpolate(found, PICTURES.shape[2:], "bilinear").detach().numpy()
    ours = relevance(module, PICTURES, "grad_cam")
    np.testing.assert_allclose(ours, np.broadcast_to(peer, ours.shape), **CLOSE)


def test_layer_cam():
    """Captum has none: the formula on torch's gradient."""
    module, kept = made(Convolutional), []
    handle = module.last.register_forward_hook(lambda module, inputs, out: kept.append(out))
    scores = module(torch.from_numpy(PICTURES))
    handle.remove()
    score = scores[torch.arange(3), torch.tensor(CLASSES)].sum()
    (gradient,) = torch.autograd.grad(score, kept)
    found = torch.relu((torch.relu(gradient) * kept[0]).sum(1, keepdim=True))
    peer = attr.LayerAttribution.interpolate(found, PICTURES.shape[2:], "bilinear").detach().numpy()
    ours = relevance(module, PICTURES, "layer_cam")
    np.testing.assert_allclose(ours, np.broadcast_to(peer, ours.shape), **CLOSE)
