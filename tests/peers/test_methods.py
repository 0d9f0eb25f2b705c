"""Other methods of explanation against Captum and grad-cam, which compute them in torch, in float64."""

from __future__ import annotations

import io
import sys
import types
import warnings
from typing import Any

import numpy as np
import pytest

import onnxlrp
from tests.oracle.compare import Explained

torch = pytest.importorskip("torch")
attr = pytest.importorskip("captum.attr")
# torchvision registers an operator that the torch at hand lacks.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
cams = pytest.importorskip("pytorch_grad_cam")
targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
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


class Kept(cams.LayerCAM):
    """LayerCAM that keeps the map of the layer as it is before OpenCV enlarges it and spreads it over [0, 1]."""

    def get_cam_image(self, *args, **kwargs):
        self.kept = super().get_cam_image(*args, **kwargs)
        return self.kept


def test_layer_cam():
    """The package grad-cam's map of the layer, enlarged as Captum's is; its picture is ours, spread over [0, 1]."""
    module = made(Convolutional)
    with Kept(module, [module.last]) as peer:
        picture = peer(torch.from_numpy(PICTURES), [targets.ClassifierOutputTarget(one) for one in CLASSES])
    found = torch.relu(torch.from_numpy(peer.kept[:, None]))
    large = attr.LayerAttribution.interpolate(found, PICTURES.shape[2:], "bilinear").numpy()
    ours = relevance(module, PICTURES, "layer_cam")
    np.testing.assert_allclose(ours, np.broadcast_to(large, ours.shape), **CLOSE)
    spread = ours[:, 0] - ours[:, 0].min((1, 2), keepdims=True)
    np.testing.assert_allclose(spread / spread.max((1, 2), keepdims=True), picture, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 7, 32])
@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_integrated_gradients(steps, baseline):
    module = made(Convolutional)
    peer = attr.IntegratedGradients(module).attribute(
        torch.from_numpy(PICTURES), baseline, torch.tensor(CLASSES), n_steps=steps
    )
    ours = relevance(module, PICTURES, f"integrated_gradients(steps={steps}, baseline={baseline})")
    assert np.abs(ours - peer.numpy()).max() < 1e-6 * np.abs(ours).max()


class Recurrent(nn.Module):
    """An LSTM that reads a sequence, and a head on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(5, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


class Attending(nn.Module):
    """A layer of attention as in BERT, on embeddings: norms after the sums, GELU, a head on the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.up, self.down, self.head = nn.Linear(8, 16), nn.Linear(16, 8), nn.Linear(8, 4)
        self.norms = nn.ModuleList(nn.LayerNorm(8) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (2, 4)).transpose(1, 2) for f in (self.query, self.key, self.value))
        weights = torch.softmax(q @ k.transpose(-1, -2) / 2, -1)
        x = self.norms[0](x + self.out((weights @ v).transpose(1, 2).flatten(2)))
        x = self.norms[1](x + self.down(nn.functional.gelu(self.up(x))))
        return self.head(torch.tanh(x[:, 0]))


class Patches(nn.Module):
    """A vision transformer of one layer: patches, a class token, places, attention, a head on the class token."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.layer = nn.Conv2d(3, 8, 5, stride=5), Attending()
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 8)), nn.Parameter(torch.randn(1, 10, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patches(x).flatten(2).transpose(1, 2)
        return self.layer(torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.places)


KINDS = [(Recurrent, (3, 6, 5)), (Attending, (3, 6, 8)), (Patches, PICTURES.shape)]
KIND_NAMES = ["lstm", "bert", "vit"]


@pytest.mark.parametrize(("kind", "size"), KINDS, ids=KIND_NAMES)
def test_integrated_gradients_of_sequences(kind, size):
    module, x = made(kind), RNG.normal(size=size)
    peer = attr.IntegratedGradients(module).attribute(torch.from_numpy(x), 0.1, torch.tensor(CLASSES), n_steps=16)
    ours = relevance(module, x, "integrated_gradients(steps=16, baseline=0.1)")
    assert np.abs(ours - peer.numpy()).max() < 1e-6 * np.abs(ours).max()


@pytest.mark.parametrize(("kind", "size"), [(Convolutional, PICTURES.shape), *KINDS], ids=["cnn", *KIND_NAMES])
def test_smooth_grad(kind, size, monkeypatch):
    """Captum's tunnel of noise around the gradient, with the noise that our file holds."""
    module, noises = made(kind), np.random.default_rng(3).normal(scale=0.2, size=(6, *size[1:]))
    x, drawn = RNG.normal(size=size), torch.from_numpy(np.tile(noises, (3, *[1] * (len(size) - 1))))
    monkeypatch.setattr(torch, "normal", lambda *args, **options: drawn)
    peer = attr.NoiseTunnel(attr.Saliency(module)).attribute(
        torch.from_numpy(x), nt_samples=6, stdevs=0.2, target=torch.tensor(CLASSES), abs=False
    )
    file = explained(module, x, "smooth_grad(samples=6, sigma=0.2, noise_seed=3)")
    ours = file.relevance({"x": x}, target=CLASSES)["x"]
    assert np.abs(ours - peer.detach().numpy()).max() < 1e-6 * np.abs(ours).max()


@pytest.mark.parametrize(("kind", "size"), KINDS, ids=KIND_NAMES)
def test_deep_lift_adds_up(kind, size):
    """Captum takes norms, attention and recurrent cells for linear, so that its relevance does not add up."""
    module, x, before = made(kind), RNG.normal(size=size), RNG.normal(size=(1, *size[1:]))
    ours = relevance(module, x, f"deep_lift(baseline={before.tolist()})").reshape(3, -1).sum(1)
    scores = [module(torch.from_numpy(v)).detach().numpy()[range(3), CLASSES] for v in (x, np.repeat(before, 3, 0))]
    np.testing.assert_allclose(ours, scores[0] - scores[1], rtol=1e-6)


def test_grad_cam_of_patches():
    """The map of the layer that embeds patches, which a name asks for."""
    module = made(Patches)
    found = attr.LayerGradCam(module, module.patches).attribute(
        torch.from_numpy(PICTURES), torch.tensor(CLASSES), relu_attributions=True
    )
    peer = attr.LayerAttribution.interpolate(found, PICTURES.shape[2:], "bilinear").detach().numpy()
    ours = relevance(module, PICTURES, "grad_cam")
    np.testing.assert_allclose(ours, np.broadcast_to(peer, ours.shape), **CLOSE)


class Rescaled(nn.Module):
    """Convolutions and one kind of activation, as modules that are used once, which Captum asks for."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, pool: type[nn.Module] = nn.AvgPool2d) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 6, 3, stride=2)
        self.pool, self.head = pool(2), nn.Linear(6 * 9, 4)
        self.one, self.two = activation(), activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.last(self.pool(self.one(self.first(x))))).flatten(1))


ACTIVATIONS = (nn.ReLU, nn.ELU, nn.Sigmoid, nn.Tanh, nn.Softplus)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("baseline", [0.0, 0.3])
def test_deep_lift(activation, baseline):
    torch.manual_seed(4)
    module = Rescaled(activation).double().eval()
    peer = attr.DeepLift(module).attribute(
        torch.from_numpy(PICTURES), torch.full(PICTURES.shape, baseline, dtype=torch.float64), torch.tensor(CLASSES)
    )
    ours = relevance(module, PICTURES, f"deep_lift(baseline={baseline})")
    assert np.abs(ours - peer.detach().numpy()).max() < 1e-6 * np.abs(ours).max()


def test_deep_lift_of_a_max_pool():
    """With a baseline at which all that is pooled is 0. Where a maximum falls below the baseline's, Captum's relevance
    does not add up to the change of the score, and ours does."""
    torch.manual_seed(4)
    module, x = Rescaled(nn.ReLU, nn.MaxPool2d).double().eval(), torch.from_numpy(PICTURES)
    peer = attr.DeepLift(module).attribute(x, torch.zeros_like(x), torch.tensor(CLASSES)).detach().numpy()
    ours = relevance(module, PICTURES, "deep_lift")
    assert np.abs(ours - peer).max() < 1e-6 * np.abs(ours).max()
    change = (module(x) - module(torch.full_like(x, 0.3)))[torch.arange(3), torch.tensor(CLASSES)].detach().numpy()
    np.testing.assert_allclose(relevance(module, PICTURES, "deep_lift(baseline=0.3)").sum((1, 2, 3)), change)


@pytest.mark.parametrize("name", ["vit", "bert", "distilbert", "gpt2"])
@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_attention_rollout(name, dynamo):
    """Abnar & Zuidema's formula on the attention weights that the model itself hands out."""
    zoo = pytest.importorskip("tests.peers.transformer_zoo")
    proto, feeds, scores = zoo.export(name, dynamo=dynamo)
    module, inputs = zoo.build(name)
    eager = type(module)._from_config(module.config, attn_implementation="eager").eval()
    eager.load_state_dict(module.state_dict())
    with torch.no_grad():
        attentions = eager(**inputs, output_attentions=True).attentions
    product = torch.eye(attentions[0].shape[-1]).double()
    for weights in attentions:
        product = (weights.double().mean(1) / 2 + torch.eye(weights.shape[-1]) / 2) @ product
    tokens = scores.ndim == 3
    expected = product[:, -1 if tokens else 0]
    if name == "vit":
        map = expected[:, 1:].reshape(2, 1, 4, 4)
        expected = attr.LayerAttribution.interpolate(map, (32, 32), "bilinear")
    (ours,) = onnxlrp.Explainer(onnxlrp.convert(proto, "attention_rollout", target="token" if tokens else "class"))(
        feeds
    ).relevance.values()
    np.testing.assert_allclose(ours, np.broadcast_to(expected.numpy(), ours.shape), rtol=2e-5, atol=1e-6)


class Reading(nn.Module):
    """A table of embeddings, and a layer that attends or an LSTM on these."""

    def __init__(self, kind: type[nn.Module] = Attending, size: int = 8) -> None:
        super().__init__()
        self.table, self.rest = nn.Embedding(11, size), kind()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.rest(self.table(ids))


IDS = RNG.integers(0, 11, size=(3, 6))


@pytest.mark.parametrize("baseline", [0, 7])
@pytest.mark.parametrize(("kind", "size"), [(Attending, 8), (Recurrent, 5)], ids=["bert", "lstm"])
def test_integrated_gradients_of_ids(kind, size, baseline):
    torch.manual_seed(4)
    module, ids = Reading(kind, size).double().eval(), torch.from_numpy(IDS)
    peer = attr.LayerIntegratedGradients(module, module.table).attribute(
        ids, torch.full_like(ids, baseline), torch.tensor(CLASSES), n_steps=16
    )
    ours = relevance(module, IDS, f"integrated_gradients(steps=16, baseline={baseline})")
    assert np.abs(ours - peer.sum(-1).detach().numpy()).max() < 1e-6 * np.abs(ours).max()
