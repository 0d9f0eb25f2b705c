"""A recurrent layer has one relevance, whichever way it is written: fused, by torch's other exporter, unrolled."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.operators.case import reference

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers

STEPS, FEATURES, HIDDEN = 5, 4, 3


class Fused(torch.nn.Module):
    """One layer and a head on its last state."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = getattr(torch.nn, kind)(FEATURES, HIDDEN, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, 2)

    def forward(self, x, h):
        # With a state of constant zeros the first step's `r ⊙ (U·0 + b)` would be a gate times a constant.
        state = (h[None], h[None]) if isinstance(self.layer, torch.nn.LSTM) else h[None]
        return self.head(self.layer(x, state)[0][:, -1])


class Unrolled(torch.nn.Module):
    """The same weights in a cell that Python runs step by step."""

    def __init__(self, fused: Fused, kind: str) -> None:
        super().__init__()
        self.cell, self.head, self.lstm = getattr(torch.nn, f"{kind}Cell")(FEATURES, HIDDEN), fused.head, kind == "LSTM"
        self.double()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(self.cell, name).data = getattr(fused.layer, f"{name}_l0").data

    def forward(self, x, h):
        c = h
        for step in range(STEPS):
            if self.lstm:
                h, c = self.cell(x[:, step], (h, c))
            else:
                h = self.cell(x[:, step], h)
        return self.head(h)


def export(module, x, h, dynamo: bool) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(module.eval(), (x, h), dynamo=True, input_names=["x", "h"], verbose=False)
            return program.model_proto
        buffer = io.BytesIO()
        torch.onnx.export(module.eval(), (x, h), buffer, dynamo=False, input_names=["x", "h"], opset_version=17)
        return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "attn_lrp", "gradient"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_one_relevance(kind, composite):
    fused = Fused(kind).double()
    x, h = torch.randn(2, STEPS, FEATURES).double(), torch.randn(2, HIDDEN).double()
    spellings = {
        "fused": export(fused, x, h, False),
        "dynamo": export(fused, x, h, True),
        "unrolled": export(Unrolled(fused, kind), x, h, False),
        "unrolled, dynamo": export(Unrolled(fused, kind), x, h, True),
    }
    found = {}
    for name, model in spellings.items():
        explained = onnxlrp.convert(model, composite, target="weights" if composite == "gradient" else "class")
        outputs = reference(explained.to_proto())({"x": x.numpy(), "h": h.numpy()})
        found[name] = np.concatenate([outputs["x_relevance"].ravel(), outputs["h_relevance"].ravel()])
    for name, value in found.items():
        np.testing.assert_allclose(value, found["fused"], rtol=1e-5, atol=1e-5, err_msg=name)
