"""Captum's own methods and metrics beside the adapter, on the same networks."""

from __future__ import annotations

import io
import warnings

import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")
captum_attr = pytest.importorskip("captum.attr")

from captum import metrics  # noqa: E402

from onnxlrp.integrations.captum import Attribution  # noqa: E402


def exported(net, x, **names) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, x, file, dynamo=False, **names)
    return file.getvalue()


@pytest.fixture(scope="module")
def dense():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).double()
    x = torch.randn(4, 6, dtype=torch.double)
    axes = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
    return net, x, exported(net, (x,), **axes)


TARGETS = [1, [0, 1, 2, 1], torch.tensor([2, 1, 0, 0]), torch.tensor(2), torch.tensor([1])]


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_deep_lift_and_its_delta(dense, target):
    net, x, model = dense
    ours, theirs = Attribution(model, "deep_lift"), captum_attr.DeepLift(net)
    found, delta = ours.attribute(x, target=target, return_convergence_delta=True)
    wanted, wanted_delta = theirs.attribute(x, target=target, return_convergence_delta=True)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(delta, wanted_delta, rtol=0, atol=1e-10)
    again = ours.compute_convergence_delta(found, torch.zeros_like(x), x, target)
    torch.testing.assert_close(again, theirs.compute_convergence_delta(wanted, 0 * x, x, target), rtol=0, atol=1e-10)


@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_lrp(dense, target):
    net, x, model = dense
    found, delta = Attribution(model, "epsilon(epsilon=1e-9)").attribute(
        x, target=target, return_convergence_delta=True
    )
    wanted, minus_delta = captum_attr.LRP(net).attribute(x, target=target, return_convergence_delta=True)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-8)
    torch.testing.assert_close(delta, -minus_delta, rtol=0, atol=1e-8)


class Two(torch.nn.Module):
    """Scores [N, 2, 5] of two inputs and a number that is not explained."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(4, 5), torch.nn.Linear(4, 5)

    def forward(self, x, y, k):
        return torch.stack([self.a(x) * k, torch.tanh(self.b(y))], 1)


@pytest.mark.parametrize("target", [(1, 3), (0, 4), [(0, 1), (1, 2), (1, 0)]], ids=str)
def test_elements_of_two_inputs(target):
    torch.manual_seed(1)
    net = Two().double()
    x, y = torch.randn(2, 3, 4, dtype=torch.double)
    k = torch.full((1,), 2.0, dtype=torch.double)
    axes = {name: {0: "N"} for name in "xyz"}
    model = exported(net, (x, y, k), input_names=["x", "y", "k"], output_names=["z"], dynamic_axes=axes)
    found = Attribution(model, "gradient_x_input").attribute((x, y), target=target, additional_forward_args=k)
    wanted = captum_attr.InputXGradient(net).attribute((x, y), target=target, additional_forward_args=k)
    assert isinstance(found, tuple)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=0, atol=1e-10)


def test_metrics(dense):
    """Captum's infidelity and sensitivity take the adapter's functions as they are."""
    net, x, model = dense
    ours, theirs = Attribution(model, "deep_lift"), captum_attr.DeepLift(net)

    def perturbed(inputs):
        noise = torch.randn_like(inputs) * 0.1
        return noise, inputs - noise

    figures = []
    for method, forward in ((ours, ours.forward_func), (theirs, net)):
        torch.manual_seed(3)
        sensitivity = metrics.sensitivity_max(method.attribute, x, target=[0, 1, 2, 1], n_perturb_samples=3)
        infidelity = metrics.infidelity(forward, perturbed, x, method.attribute(x, target=1), target=1)
        figures.append((sensitivity, infidelity))
    for one, other in zip(*figures, strict=True):
        torch.testing.assert_close(one, other.detach(), rtol=1e-8, atol=1e-10)


def test_baselines_of_samples(dense):
    """A baseline for each sample."""
    net, x, model = dense
    start = torch.flip(x, [0]) + 0.1
    found, delta = Attribution(model, "deep_lift(baseline='input')").attribute(
        x, target=[0, 1, 2, 1], return_convergence_delta=True, baselines=start
    )
    wanted, _ = captum_attr.DeepLift(net).attribute(x, start, target=[0, 1, 2, 1], return_convergence_delta=True)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    assert delta.abs().max() < 1e-10
