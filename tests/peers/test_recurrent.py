"""LSTM, GRU and RNN against torch: the tests' own forward pass, and `gradient` of converted exports."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from tests.operators.case import reference
from tests.oracle.recurrent import forward

pytestmark = pytest.mark.peers
torch = pytest.importorskip("torch")
nn = torch.nn

CELLS = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}
"""ONNX's gates by torch's positions: i, o, f, c of i, f, c, o; z, r, h of r, z, h."""


def of_torch(operator: str, cell) -> list[np.ndarray]:
    """W, R and B of a layer."""
    size = cell.hidden_size

    def gates(name: str) -> np.ndarray:
        value = getattr(cell, name).detach().numpy()
        return np.concatenate([value[k * size : (k + 1) * size] for k in ORDER[operator]])

    sides = [""] + (["_reverse"] if cell.bidirectional else [])
    weights = [np.stack([gates(f"weight_{kind}_l0{side}") for side in sides]) for kind in ("ih", "hh")]
    biases = np.stack([np.concatenate([gates(f"bias_{kind}_l0{side}") for kind in ("ih", "hh")]) for side in sides])
    return [*weights, biases]


@pytest.mark.parametrize("lengths", [None, [6, 3, 1]])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("operator", CELLS)
def test_forward(operator, bidirectional, lengths):
    """Every step, the last states; sequences of unlike lengths as torch packs them."""
    torch.manual_seed(0)
    cell = CELLS[operator](4, 5, bidirectional=bidirectional).double()
    x = torch.randn(6, 3, 4, dtype=torch.float64)
    states = [torch.randn(1 + bidirectional, 3, 5, dtype=torch.float64) for _ in range(2 if operator == "LSTM" else 1)]
    given = x if lengths is None else nn.utils.rnn.pack_padded_sequence(x, lengths)
    with torch.no_grad():
        y, last = cell(given, tuple(states) if operator == "LSTM" else states[0])
    if lengths is not None:
        y, _ = nn.utils.rnn.pad_packed_sequence(y)
    theirs = [y.numpy(), *(v.numpy() for v in (last if operator == "LSTM" else [last]))]
    direction = {"direction": "bidirectional"} if bidirectional else {}
    ours = forward(
        operator,
        x.numpy(),
        *of_torch(operator, cell),
        None if lengths is None else np.array(lengths),
        *(s.numpy() for s in states),
        linear_before_reset=1,
        **direction,
    )
    shaped = ours[0].transpose(0, 2, 1, 3).reshape(6, 3, -1)
    for found, expected in zip([shaped, *ours[1:]], theirs, strict=False):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


class Classifier(nn.Module):
    """Two bidirectional layers, batches first, and a score of the last state and of all steps."""

    def __init__(self, operator: str) -> None:
        super().__init__()
        self.cell = CELLS[operator](3, 4, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        y, last = self.cell(x)
        last = last[0] if isinstance(last, tuple) else last
        return self.head(y.mean(1)) + self.head(torch.cat([last[-2], last[-1]], 1))


def exported(module, x) -> onnx.ModelProto:
    """By torch's exporter, the way it has long been; a double model, any batch, any number of steps."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (x,),
            buffer,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "batch", 1: "steps"}, "y": {0: "batch"}},
            opset_version=17,
            dynamo=False,
        )
    return onnx.load_from_string(buffer.getvalue())


@pytest.mark.parametrize("operator", CELLS)
def test_gradient(operator):
    """Against autograd, 1e-6, at lengths and batches other than the exported ones."""
    torch.manual_seed(1)
    module = Classifier(operator).double().eval()
    model = exported(module, torch.randn(2, 5, 3, dtype=torch.float64))
    assert operator in {n.op_type for n in model.graph.node}
    run = reference(onnxlrp.convert(model, "gradient", target="weights").to_proto())
    for batch, steps in ((2, 5), (1, 1), (3, 11)):
        x = torch.randn(batch, steps, 3, dtype=torch.float64, requires_grad=True)
        weights = torch.randn(batch, 5, dtype=torch.float64)
        (module(x) * weights).sum().backward()
        found = run({"x": x.detach().numpy(), "y_weights": weights.numpy()})["x_relevance"]
        np.testing.assert_allclose(found, x.grad.numpy(), rtol=1e-6, atol=1e-6 * float(x.grad.abs().max()))


@pytest.mark.parametrize("operator", CELLS)
def test_gradient_of_weights_and_states(operator):
    """Of one layer's operands, all of them data."""
    torch.manual_seed(2)
    cell = CELLS[operator](3, 4, bidirectional=True).double()
    count = 2 if operator == "LSTM" else 1
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    states = [torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(count)]
    y, _ = cell(x, tuple(states) if count == 2 else states[0])
    weights = torch.randn(6, 2, 8, dtype=torch.float64)
    (y * weights).sum().backward()
    values = dict(zip(("W", "R", "B"), of_torch(operator, cell), strict=True))
    values = {"x": x.detach().numpy(), **values, **{f"s{i}": s.detach().numpy() for i, s in enumerate(states)}}
    reset = {"linear_before_reset": 1} if operator == "GRU" else {}
    nodes = [
        helper.make_node(
            operator,
            ["x", "W", "R", "B", "", *(f"s{i}" for i in range(count))],
            ["Y"],
            hidden_size=4,
            direction="bidirectional",
            **reset,
        ),
        helper.make_node("Transpose", ["Y"], ["turned"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["turned", "shape"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info(k, onnx.TensorProto.DOUBLE, v.shape) for k, v in values.items()]
    output = helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [6, 2, 8])
    shape = numpy_helper.from_array(np.array([6, 2, 8]), "shape")
    graph = helper.make_graph(nodes, "layer", inputs, [output], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    run = reference(onnxlrp.convert(model, "gradient", target="weights").to_proto())
    found = run({**values, "y_weights": weights.numpy()})
    for parameter in cell.parameters():
        parameter.data = parameter.grad
    expected = dict(zip(("W", "R", "B"), of_torch(operator, cell), strict=True))
    expected |= {"x": x.grad.numpy(), **{f"s{i}": s.grad.numpy() for i, s in enumerate(states)}}
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[f"{name}_relevance"], gradient, rtol=1e-9, atol=1e-9)
