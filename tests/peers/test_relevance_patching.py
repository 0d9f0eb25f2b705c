"""Coefficients of inner values beside those of torch, where RelP's rules are written as detached factors."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
torch = pytest.importorskip("torch")

import onnxlrp  # noqa: E402

WIDTH, HEADS, TOKENS = 8, 2, 5


class Block(torch.nn.Module):
    """A block of a transformer and scores of the last token. With `patching` its gradients are RelP's coefficients: a
    norm's deviation, attention weights and the quotient gelu(x)/x are constants."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = torch.nn.Linear(WIDTH, 3 * WIDTH), torch.nn.Linear(WIDTH, WIDTH)
        self.up, self.down = torch.nn.Linear(WIDTH, 16), torch.nn.Linear(16, WIDTH)
        self.head = torch.nn.Linear(WIDTH, 4)
        self.patching = False

    def held(self, value):
        return value.detach() if self.patching else value

    def norm(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / self.held(torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5))

    def inner(self, x):
        """Values that may be patched: outputs of attention and MLP, and the residual stream after each."""
        n = len(x)
        q, k, v = (t.view(n, -1, HEADS, WIDTH // HEADS).transpose(1, 2) for t in self.qkv(self.norm(x)).chunk(3, -1))
        weights = self.held(torch.softmax(q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5, -1))
        attention = self.out((weights @ v).transpose(1, 2).reshape(n, -1, WIDTH))
        middle = x + attention
        z = self.up(self.norm(middle))
        gelu = torch.nn.functional.gelu(z, approximate="tanh")
        mlp = self.down(z * (gelu / z).detach() if self.patching else gelu)
        return attention, middle, mlp, middle + mlp

    def forward(self, x):
        return self.head(self.norm(self.inner(x)[-1])[:, -1])


@pytest.fixture(scope="module")
def block():
    """The block, its file, and samples."""
    torch.manual_seed(0)
    net, x, file = Block().double().eval(), torch.randn(3, TOKENS, WIDTH, dtype=torch.double), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "N"}, "y": {0: "N"}}}
        torch.onnx.export(net, (x,), file, dynamo=False, **names)
    return net, onnx.load_from_string(file.getvalue()), x


def coefficients(net, x, target: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each inner value of torch with the gradient of the score under RelP's rules."""
    net.patching = True
    inner = net.inner(x.clone().requires_grad_())
    *_, last = inner
    score = net.head(net.norm(last)[:, -1])[:, target].sum()
    grads = torch.autograd.grad(score, inner)
    net.patching = False
    return [(value.detach().numpy(), grad.numpy()) for value, grad in zip(inner, grads, strict=True)]


def named_like(model: onnx.ModelProto, values: list[np.ndarray], x: np.ndarray) -> list[str]:
    """Names of the inner values of the file that are equal to these."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [name for node in model.graph.node for name in node.output if name]
    shown.graph.output.extend(onnx.helper.make_empty_tensor_value_info(n) for n in names if n != "y")
    session = onnxruntime.InferenceSession(shown.SerializeToString())
    found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"x": x}), strict=True))
    return [
        next(n for n, a in found.items() if np.shape(a) == v.shape and np.allclose(a, v, atol=1e-9)) for v in values
    ]


def test_coefficients_of_a_transformer(block):
    net, model, x = block
    wanted = coefficients(net, x, target=2)
    names = named_like(model, [value for value, _ in wanted], x.numpy())
    assert len(set(names)) == 4
    explained = onnxlrp.convert(model, "cp_lrp", coefficients_at=names)
    found = onnxlrp.Explainer(explained)({"x": x.numpy()}, target=2)
    for name, (value, grad) in zip(names, wanted, strict=True):
        np.testing.assert_allclose(found.values_at[name], value, rtol=1e-5, atol=1e-7)
        assert np.abs(grad).max() > 1e-2
        np.testing.assert_allclose(found.coefficients_at[name], grad, rtol=1e-3, atol=1e-4 * np.abs(grad).max())
