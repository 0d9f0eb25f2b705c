"""One network of norms and activations as both of torch's exporters write it, at many opsets: one relevance."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import onnxlrp
from tests.operators.case import OURS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peers
nn = torch.nn

OPSETS = [11, 13, 14, 17, 18, 20, 21, 23]


class RMSNormalization(OpRun):
    """The evaluator's own computes in single precision only."""

    def _run(self, x, scale, axis=None, epsilon=None, stash_type=None):
        axes = tuple(range(axis % x.ndim, x.ndim))
        return (x / np.sqrt((x * x).mean(axis=axes, keepdims=True) + epsilon) * scale,)


class RMSNorm(nn.Module):
    """Llama's own, which the older exporter can write (it has no `aten::rms_norm`)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Net(nn.Module):
    """Every norm and activation once, with a layer between two of them."""

    def __init__(self, rms: type[nn.Module]) -> None:
        super().__init__()
        self.start = nn.Conv2d(3, 6, 3)
        self.grouped = nn.GroupNorm(2, 6)
        self.kinds = nn.ModuleList([nn.LayerNorm(5), rms(5), nn.GELU(), nn.GELU("tanh"), nn.SiLU()])
        self.layers = nn.ModuleList(nn.Linear(5 if i else 24, 5) for i in range(len(self.kinds)))
        self.gate = nn.Linear(5, 5)
        self.end = nn.Linear(5, 3)
        torch.manual_seed(0)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(self.start(x)).flatten(1)
        for layer, kind in zip(self.layers, self.kinds, strict=True):
            x = kind(layer(x))
        x = nn.functional.normalize(x * self.gate(x), dim=-1)
        return self.end(x)


def export(module: nn.Module, opset: int, dynamo: bool) -> onnx.ModelProto:
    """The model in double precision."""
    module, x, buffer = module.double().eval(), torch.zeros(2, 3, 4, 4, dtype=torch.float64), io.BytesIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if dynamo:
            shapes = ({0: torch.export.Dim("N")},)
            program = torch.onnx.export(module, (x,), dynamo=True, opset_version=opset, dynamic_shapes=shapes)
            program.save(buffer)
        else:
            axes = {"x": {0: "N"}}
            torch.onnx.export(
                module, (x,), buffer, dynamo=False, opset_version=opset, input_names=["x"], dynamic_axes=axes
            )
    return onnx.load_from_string(buffer.getvalue())


def relevance(proto: onnx.ModelProto, composite: str) -> np.ndarray:
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 4))
    name = proto.graph.input[0].name
    explained = onnxlrp.convert(proto, composite).to_proto()
    (found,) = ReferenceEvaluator(explained, new_ops=[*OURS, RMSNormalization]).run([f"{name}_relevance"], {name: x})
    return found


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    proto = export(Net(RMSNorm), 17, dynamo=False)
    return {composite: relevance(proto, composite) for composite in ("epsilon", "attn_lrp", "cp_lrp")}


@pytest.mark.parametrize("dynamo", [False, True], ids=["TorchScript", "dynamo"])
@pytest.mark.parametrize("opset", OPSETS)
def test_one_relevance_whatever_the_exporter(opset, dynamo, expected):
    proto = export(Net(RMSNorm), opset, dynamo)
    for composite, wanted in expected.items():
        found = relevance(proto, composite)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max(), err_msg=composite)


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_torchs_own_rms_norm(opset):
    """A node of its own at opset 23, written out before."""
    proto = export(Net(lambda size: nn.RMSNorm(size, eps=1e-6)), opset, dynamo=True)
    wanted = relevance(export(Net(RMSNorm), 17, dynamo=False), "attn_lrp")
    np.testing.assert_allclose(relevance(proto, "attn_lrp"), wanted, rtol=1e-5, atol=1e-6 * np.abs(wanted).max())


def test_the_plan_names_what_was_recognised():
    plan = str(onnxlrp.inspect(export(Net(RMSNorm), 11, dynamo=False), "cp_lrp"))
    for name in ("layer norm", "group norm", "RMS norm", "L2 norm", "GELU (erf)", "GELU (tanh)", "SiLU", "SwiGLU"):
        assert name in plan, name
