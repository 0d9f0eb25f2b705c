"""A scripted torch module, exported with its loop, its branch and its list: gradients as autograd has them."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.case import onnxruntime

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers


class Reader(torch.nn.Module):
    """An LSTM cell run step by step, its states collected in a list, and attention over them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell = torch.nn.LSTMCell(4, 5)
        self.attend = torch.nn.Linear(5, 1)
        self.head = torch.nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[1], 5)
        c = torch.zeros(x.shape[1], 5)
        states: list[torch.Tensor] = []
        for step in range(x.shape[0]):
            h, c = self.cell(x[step], (h, c))
            if step > 2:
                h = torch.tanh(h)
            states.append(h)
        stacked = torch.stack(states)
        weights = torch.softmax(self.attend(stacked), 0)
        return self.head((weights * stacked).sum(0))


@pytest.fixture(scope="module")
def exported() -> tuple[torch.nn.Module, onnx.ModelProto]:
    module, buffer = torch.jit.script(Reader().eval()), io.BytesIO()
    axes = {"x": {0: "T", 1: "N"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        example = torch.randn(6, 2, 4)
        torch.onnx.export(
            module, (example,), buffer, dynamo=False, input_names=["x"], opset_version=17, dynamic_axes=axes
        )
    return module, onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("steps", [1, 6, 9])
def test_the_gradient_is_autograds(exported, steps):
    module, proto = exported
    x = torch.randn(steps, 2, 4, requires_grad=True)
    y = module(x)
    y.sum().backward()
    found = onnxruntime(onnxlrp.convert(proto, "gradient", target="weights").to_proto())({"x": x.detach().numpy()})
    np.testing.assert_allclose(next(iter(found.values())), y.detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["x_relevance"], x.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp"])
def test_the_ledger_closes(exported, composite):
    _, proto = exported
    explained = onnxlrp.convert(proto, composite, target="weights", ledger=True)
    found = onnxruntime(explained.to_proto())({"x": torch.randn(7, 3, 4).numpy()})
    ledger = found["relevance_ledger"]
    assert np.abs(ledger[:, 0] - ledger[:, 1:].sum(1)).max() <= 1e-3 * np.abs(ledger).max()
