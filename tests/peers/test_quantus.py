"""Quantus: its curves beside those of `onnxlrp.evaluate`, and its metrics on ONNX models."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
peer = pytest.importorskip("tools.evaluation.quantus_peer", exc_type=ImportError)

import quantus  # noqa: E402
from onnx.helper import make_node as onnx_node  # noqa: E402

import onnxlrp  # noqa: E402
from onnxlrp.errors import InputError, TargetError  # noqa: E402
from onnxlrp.integrations.quantus import OnnxModel, explain_func  # noqa: E402
from tests.integrations.nets import dense, model  # noqa: E402

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn" / "digits_cnn.torchscript.onnx"


@pytest.fixture(scope="module")
def digits():
    """Digits, the network that predicts them, their classes, and relevance without ties."""
    x = np.load(MODEL.parent / "samples.npz")["image"]
    session = onnxruntime.InferenceSession(str(MODEL))
    targets = session.run(["logits"], {"image": x})[0].argmax(1)
    relevance = np.random.default_rng(0).normal(size=x.shape)
    return x, peer.Network(session, "image", "logits"), targets, relevance


def ours(digits, **options):
    x, _, _, relevance = digits
    options = {"measures": "perturbation", "explanations": {"own": relevance}, "beside": (), **options}
    return onnxlrp.evaluate(MODEL, x, "lrp0", **options).curves["own"]


@pytest.mark.parametrize("baseline", [0.0, 5.0, 16.0])
@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_pixel_flipping(digits, baseline, at_once):
    x, network, targets, relevance = digits
    wanted = peer.pixel_flipping(network, x, targets, relevance, baseline, at_once)
    found = ours(digits, units="elements", baseline=baseline, steps=64 // at_once)
    np.testing.assert_allclose(found.most_first[:, 1:], wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(digits, side, order):
    x, network, targets, relevance = digits
    regions = (8 // side) ** 2
    wanted = peer.region_perturbation(network, x, targets, relevance, 3.0, side, regions, order)
    curves = ours(digits, unit_size=side, baseline=3.0, steps=regions)
    found = curves.most_first if order == "morf" else curves.least_first
    np.testing.assert_allclose(found[:, :1] - found[:, 1:], wanted, rtol=1e-6, atol=1e-6 * np.abs(found).max())


# ------------------------------------------------------------------------------------- metrics, on torch and on ONNX


class Net(torch.nn.Module):
    """Two convolutions and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 6, 3)
        self.last = torch.nn.Linear(6 * 16, 5)

    def forward(self, x):
        return self.last(torch.relu(self.second(torch.relu(self.first(x)))).flatten(1))


@pytest.fixture(scope="module")
def pair():
    """A network of torch, the same in ONNX, samples and their classes."""
    torch.manual_seed(0)
    net, file = Net().eval(), io.BytesIO()
    x = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32)
    axes = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    torch.onnx.export(net, (torch.from_numpy(x),), file, dynamo=False, **axes)
    return net, OnnxModel(file.getvalue(), "gradient"), x, net(torch.from_numpy(x)).argmax(1).numpy()


def gradient(model, inputs, targets, **_):
    """Explain a network of torch by its gradient."""
    x = torch.from_numpy(np.asarray(inputs, np.float32)).requires_grad_()
    model(x)[range(len(targets)), targets].sum().backward()
    return x.grad.numpy()


SIMILAR = quantus.similarity_func.correlation_spearman
METRICS = {
    "pixel flipping": lambda: quantus.PixelFlipping(features_in_step=8),
    "region perturbation": lambda: quantus.RegionPerturbation(patch_size=4, regions_evaluation=4),
    "faithfulness correlation": lambda: quantus.FaithfulnessCorrelation(nr_runs=10, subset_size=8),
    "faithfulness estimate": lambda: quantus.FaithfulnessEstimate(features_in_step=8),
    "monotonicity": lambda: quantus.Monotonicity(features_in_step=16),
    "monotonicity correlation": lambda: quantus.MonotonicityCorrelation(nr_samples=3, features_in_step=16),
    "sensitivity n": lambda: quantus.SensitivityN(features_in_step=16, n_max_percentage=0.9),
    "selectivity": lambda: quantus.Selectivity(patch_size=4),
    "ROAD": lambda: quantus.ROAD(noise=0.01, percentages=[20, 50]),
    "infidelity": lambda: quantus.Infidelity(n_perturb_samples=2, perturb_patch_sizes=[4]),
    "sufficiency": lambda: quantus.Sufficiency(threshold=0.6),
    "max sensitivity": lambda: quantus.MaxSensitivity(nr_samples=3),
    "Lipschitz estimate": lambda: quantus.LocalLipschitzEstimate(nr_samples=3),
    "relative input stability": lambda: quantus.RelativeInputStability(nr_samples=2),
    "relative representation stability": lambda: quantus.RelativeRepresentationStability(nr_samples=2),
    "random logit": lambda: quantus.RandomLogit(num_classes=5),
    "parameter randomisation": lambda: quantus.MPRT(similarity_func=SIMILAR),
    "independent randomisation": lambda: quantus.MPRT(similarity_func=SIMILAR, layer_order="independent"),
    "efficient randomisation": lambda: quantus.EfficientMPRT(),
    "input invariance": lambda: quantus.InputInvariance(input_shift=-1),
    "completeness": lambda: quantus.Completeness(),
    "sparseness": lambda: quantus.Sparseness(),
}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_gives_what_it_gives_on_torch(pair, name):
    """The same network, and the same explanations: gradients. Metrics that draw weights anew draw the same ones."""
    net, model, x, y = pair
    found = []
    for network, function in ((net, gradient), (model, explain_func)):
        np.random.seed(0)
        torch.manual_seed(0)
        metric = METRICS[name]()
        explained = function(network, x, y)
        scores = metric(
            model=network,
            x_batch=x,
            y_batch=y,
            a_batch=explained,
            explain_func=function,
            explain_func_kwargs={},
            channel_first=True,
            device="cpu",
            batch_size=len(x),
        )
        scores = list(scores.values()) if isinstance(scores, dict) else scores
        found.append(np.concatenate([np.ravel(np.asarray(one, float)) for one in scores]))
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[1], found[0], rtol=2e-4, atol=1e-5)


def test_relevance_in_the_place_of_gradients(digits):
    """Options of a call go to `convert`; scores and relevance are those of the bundled model."""
    x, _, targets, _ = digits
    network = OnnxModel(MODEL, "epsilon_plus")
    wanted = onnxlrp.Explainer(onnxlrp.convert(MODEL, "epsilon_plus"))({"image": x}, target=targets)
    np.testing.assert_allclose(network(torch.from_numpy(x)).numpy(), wanted.outputs["logits"], atol=1e-5)
    np.testing.assert_array_equal(explain_func(network, x, targets, device="cpu"), wanted.relevance["image"])
    other = onnxlrp.Explainer(onnxlrp.convert(MODEL, "epsilon"))({"image": x}, target=targets).relevance["image"]
    np.testing.assert_array_equal(explain_func(network, x, targets, composite="epsilon"), other)
    np.testing.assert_array_equal(explain_func(MODEL, x, targets, composite="epsilon"), other)
    scores = quantus.PixelFlipping(features_in_step=16, disable_warnings=True)(
        model=network, x_batch=x, y_batch=targets, explain_func=explain_func, softmax=True, channel_first=True
    )
    assert np.shape(scores) == (len(x), 4)


def test_weights_that_change_change_scores_and_relevance():
    rng = np.random.default_rng(5)
    network, x = OnnxModel(dense(rng), "lrp0"), torch.from_numpy(rng.normal(size=(3, 4)))
    before, state = network(x), {name: value.clone() for name, value in network.state_dict().items()}
    assert list(state) == ["first.weight", "first.bias", "second.weight", "second.bias"]
    with torch.no_grad():
        network.second.weight.mul_(2)
        network.second.bias.mul_(2)
    torch.testing.assert_close(network(x), 2 * before)
    doubled = explain_func(network, x, [0, 1, 2])
    network.load_state_dict(state)
    torch.testing.assert_close(network(x), before)
    np.testing.assert_allclose(doubled, 2 * explain_func(network, x, [0, 1, 2]), rtol=1e-9)


def test_layers_are_drawn_as_torch_draws_them():
    """A dense layer, laid out with the inputs or the outputs first, and its bias within or after it."""
    torch.manual_seed(7)
    wanted = torch.nn.Linear(4, 5, dtype=torch.double)
    network = OnnxModel(dense(np.random.default_rng(5)))
    torch.manual_seed(7)
    network.first.reset_parameters()
    torch.testing.assert_close(network.first.weight.T, wanted.weight)
    torch.testing.assert_close(network.first.bias, wanted.bias)
    x = torch.ones(1, 4, dtype=torch.double)
    torch.testing.assert_close(network.first(x), wanted(x))


def test_other_inputs_and_models_that_do_not_fit():
    rng = np.random.default_rng(6)
    nodes = [onnx_node("MatMul", ["x", "w"], ["p"]), onnx_node("Add", ["p", "z"], ["y"])]
    given = model(nodes, {"x": ["N", 4], "z": ["N", 3]}, {"y": ["N", 3]}, {"w": rng.normal(size=(4, 3))})
    network = OnnxModel(given, "gradient", others={"z": np.ones((1, 3))})
    x = rng.normal(size=(5, 4))
    assert network(torch.from_numpy(x)).shape == (5, 3)
    assert explain_func(torch.nn.Sequential(network, torch.nn.Softmax(1)), x, np.zeros(5, int)).shape == x.shape
    with pytest.raises(TargetError):
        explain_func(network, x, np.full(5, 3))
    with pytest.raises(InputError, match="others="):
        OnnxModel(given)
    with pytest.raises(InputError, match="explained already"):
        OnnxModel(onnxlrp.convert(dense(rng), "lrp0").to_proto())
    with pytest.raises(InputError, match="no ONNX model"):
        explain_func(torch.nn.Linear(2, 2), x, [0])
