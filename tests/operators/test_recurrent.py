"""LSTM, GRU and RNN: relevance against a plain re-implementation, the ledger, lengths, outputs left out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import Array, Case, check, onnxruntime, reference
from tests.operators.draws import DRAWS
from tests.oracle.recurrent import DEFAULTS, FUNCTIONS, forward, relevance

OPERATORS = ("LSTM", "GRU", "RNN")
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def operands(operator: str, rng: np.random.Generator, sizes: tuple[int, int, int, int], directions: int = 1):
    """X, W, R, B, lengths, initial states and peepholes for (steps, batch, input, hidden)."""
    steps, batch, width, size = sizes
    rows = GATES[operator] * size
    shapes = [(steps, batch, width), (directions, rows, width), (directions, rows, size), (directions, 2 * rows)]
    first = (directions, batch, size)
    shapes += [first, first, (directions, 3 * size)] if operator == "LSTM" else [first]
    made = [0.6 * rng.normal(size=s) for s in shapes]
    return [*made[:4], None, *made[4:]]


def joined(read: Iterable[int]) -> list[onnx.NodeProto]:
    """Nodes that make y of some of the operator's outputs, side by side."""
    flat = [helper.make_node("Flatten", [f"y{i}"], [f"flat{i}"], axis=0) for i in read]
    return [*flat, helper.make_node("Concat", [n.output[0] for n in flat], ["y"], axis=1)]


# ---------------------------------------------------------------------------------------------------- the operators


def settings_of(operator: str) -> list[dict]:
    """Attributes, one thing at a time, that onnxruntime has kernels for."""
    found: list[dict] = [{}, {"clip": 0.5}, {"direction": "reverse"}, {"direction": "bidirectional"}, {"lengths": True}]
    found += [{"lengths": True, "direction": d} for d in ("reverse", "bidirectional")]
    found += {"LSTM": [{"input_forget": 1}], "GRU": [{"linear_before_reset": 1}], "RNN": []}[operator]
    for position, _ in enumerate(DEFAULTS[operator]):
        for name, (_, alpha, beta) in FUNCTIONS.items():
            if (operator, position, name) == ("GRU", 0, "Softplus"):
                continue
            names = list(DEFAULTS[operator])
            names[position] = name
            given = {"activation_alpha": [0.7]} if alpha is not None else {}
            given |= {"activation_beta": [0.3]} if beta is not None else {}
            found.append({"activations": names, **given})
    if operator == "LSTM":
        names = ["HardSigmoid", "Tanh", "LeakyRelu"]
        found.append({"activations": names, "activation_alpha": [0.3, 0.1], "activation_beta": [0.4]})
    return found


@pytest.mark.parametrize(
    ("operator", "options"), [(o, s) for o in OPERATORS for s in settings_of(o)], ids=lambda v: str(v)
)
def test_the_oracle_is_the_operator(operator, options):
    """Every attribute, against onnxruntime."""
    attributes = {k: v for k, v in options.items() if k != "lengths"}
    directions = 2 if options.get("direction") == "bidirectional" else 1
    values = operands(operator, np.random.default_rng(0), (4, 3, 3, 5), directions)
    if options.get("lengths"):
        values[4] = np.array([4, 0, 2], np.int32)
    outputs = 3 if operator == "LSTM" else 2
    case = Case(operator, values, [0], [], {"hidden_size": 5, **attributes}, outputs, bodies=joined(range(outputs)))
    found = onnxruntime(case.model(floating=np.float32))({"x0": values[0].astype(np.float32)})["y"]
    whole = forward(operator, *values, **attributes)[:outputs]
    expected = np.concatenate([v.reshape(1, -1) for v in whole], 1)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * max(1, np.abs(expected).max()))


# --------------------------------------------------------------------------------------------------------- relevance


def read_outputs(case: Case) -> dict[int, Array]:
    """The operator's outputs that y is made of."""
    found = forward(case.op, *case.operands, **case.attributes)
    return {i: found[i] for i in (int(n.input[0][1:]) for n in case.bodies[:-1])}


def check_relevance(case: Case, dynamic: bool) -> None:
    """Relevance and the ledger of a drawn case, in float64."""
    explained = onnxlrp.convert(case.model(dynamic), "epsilon", target="weights", ledger=True)
    read, feeds = read_outputs(case), case.inputs()
    weights = np.random.default_rng(1).normal(size=(1, sum(v.size for v in read.values())))
    arrived: list[Array | None] = [None] * 3
    start = 0
    for index, value in read.items():
        arrived[index] = value * weights[0, start : start + value.size].reshape(value.shape)
        start += value.size
    outputs = reference(explained.to_proto())({**feeds, "y_weights": weights})
    *expected, biases = relevance(case.op, case.operands, arrived, **case.attributes)
    sent, constant = 0.0, 0.0
    for index, r in zip((0, 5, 6), expected, strict=True):
        if index in case.data:
            found = outputs[explained.interface.relevance[f"x{index}"]]
            np.testing.assert_allclose(found, r, rtol=1e-8, atol=1e-8 * max(1, np.abs(r).max(initial=0)))
            sent += r.sum()
        else:
            constant += r.sum()
    table = outputs[explained.interface.ledger]
    row = dict(zip(explained.interface.steps, table, strict=True))["tested"]
    scale = max(1, np.abs(row).max())
    assert abs(row[0] - row[1:].sum()) <= 1e-8 * scale
    np.testing.assert_allclose(row[1:3], [sent, constant + biases], rtol=0, atol=1e-7 * scale)
    assert not any(explained.interface.marked)


@pytest.mark.slow
@pytest.mark.parametrize("operator", OPERATORS)
@settings(deadline=None, derandomize=True, max_examples=40, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_relevance(operator, data):
    """Every attribute, initial states data or constant; the biases' share and the ledger."""
    (draw,) = DRAWS[operator]
    case = data.draw(draw())
    check_relevance(case, dynamic=data.draw(st.booleans(), label="dynamic"))


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (5, 2, 3, 4), (13, 1, 7, 5)])
@pytest.mark.parametrize("operator", OPERATORS)
def test_bidirectional(operator, sizes):
    """The plain bidirectional layer, explained at its last states and at every step."""
    values = operands(operator, np.random.default_rng(sum(sizes)), sizes, directions=2)
    attributes = {"hidden_size": sizes[3], "direction": "bidirectional"}
    for read in ([0], [1], [0, 1]):
        check_relevance(Case(operator, values[:4], [0], [], attributes, 2, bodies=joined(read)), dynamic=True)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_sequences_that_end_early(operator, direction):
    """The last states of sequences of 5, 0 and 2 steps: what lies behind the end leaves the states as they are."""
    values = operands(operator, np.random.default_rng(8), (5, 3, 2, 3), directions=1 + (direction == "bidirectional"))
    values[4] = np.array([5, 0, 2], np.int32)
    outputs = 3 if operator == "LSTM" else 2
    attributes = {"hidden_size": 3, "direction": direction}
    for read in range(outputs):
        data = [0, 5, 6] if operator == "LSTM" else [0, 5]
        case = Case(operator, values, data, [4], attributes, outputs, bodies=joined([read]), step=1e-6, tolerance=1e-6)
        check_relevance(case, dynamic=True)
        check(case, dynamic=True)


# ----------------------------------------------------------------------------------------------- lengths and outputs


def layer(operator: str, floating: type, outputs: list[str], read: str, **attributes) -> tuple[onnx.ModelProto, list]:
    """A bidirectional layer of 3 inputs and 4 states a step; steps and batch are symbols."""
    values = operands(operator, np.random.default_rng(3), (1, 1, 3, 4), directions=2)[:4]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(floating))
    node = helper.make_node(
        operator, ["x", "W", "R", "B"], outputs, hidden_size=4, direction="bidirectional", **attributes
    )
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", kind, ["steps", "batch", 3])],
        [helper.make_tensor_value_info(read, kind, ["steps", 2, "batch", 4] if read == "Y" else [2, "batch", 4])],
        [numpy_helper.from_array(v.astype(floating), n) for v, n in zip(values[1:], "WRB", strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), values


@pytest.mark.parametrize("operator", OPERATORS)
def test_one_file_for_every_length(operator):
    """1, 7 and 1,000 steps: the oracle in float64, and what arrives is accounted for in onnxruntime's float32."""
    source, values = layer(operator, np.float64, ["Y", "Y_h"], "Y")
    explained = onnxlrp.convert(source, "epsilon", target="weights")
    run = reference(explained.to_proto())
    single = onnxlrp.convert(
        layer(operator, np.float32, ["Y", "Y_h"], "Y")[0], "epsilon", target="weights", ledger=True
    )
    deployed = onnxruntime(single.to_proto())
    for steps in (1, 7, 1000):
        x = np.random.default_rng(steps).normal(size=(steps, 2, 3))
        y = forward(operator, x, *values[1:], direction="bidirectional")[0]
        arrived = [y * np.ones_like(y)]
        expected = relevance(operator, [x, *values[1:]], arrived, direction="bidirectional")[0]
        found = run({"x": x, "Y_weights": np.ones_like(y)})["x_relevance"]
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
        outputs = deployed({"x": x.astype(np.float32), "Y_weights": np.ones(y.shape, np.float32)})
        row = outputs[single.interface.ledger][0]
        assert abs(row[0] - row[1:].sum()) <= 1e-3 * np.abs(row).max()
        np.testing.assert_allclose(outputs["x_relevance"].sum(), row[1], rtol=1e-3)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
def test_outputs_left_out(operator, composite):
    """A model that leaves Y out is explained like one that has it, and runs the operator once."""
    outputs = ["Y", "Y_h"]
    whole = onnxlrp.convert(layer(operator, np.float64, outputs, "Y_h")[0], composite, target="weights").to_proto()
    left = onnxlrp.convert(layer(operator, np.float64, ["", "Y_h"], "Y_h")[0], composite, target="weights").to_proto()
    for model in (whole, left):
        assert [n.op_type for n in model.graph.node].count(operator) == 1
    feeds = {"x": np.random.default_rng(2).normal(size=(5, 2, 3)), "Y_h_weights": np.ones((2, 2, 4))}
    first, second = reference(whole)(feeds), reference(left)(feeds)
    np.testing.assert_array_equal(first["x_relevance"], second["x_relevance"])
    onnx.checker.check_model(left, full_check=True)


@pytest.mark.parametrize("operator", OPERATORS)
def test_many_targets(operator):
    """Several explanations from one run: the way back inside a Scan over the targets."""
    source, _ = layer(operator, np.float32, ["Y", "Y_h"], "Y")
    source.graph.node.append(helper.make_node("ReduceSum", ["Y", "axes"], ["scores"], keepdims=0))
    source.graph.initializer.append(numpy_helper.from_array(np.array([0, 1]), "axes"))
    del source.graph.output[:]
    source.graph.output.append(helper.make_tensor_value_info("scores", 1, ["batch", 4]))
    x = {"x": np.random.default_rng(2).normal(size=(6, 2, 3)).astype(np.float32)}
    one = onnxruntime(onnxlrp.convert(source, "epsilon").to_proto())
    many = onnxruntime(onnxlrp.convert(source, "epsilon", targets=3).to_proto())
    found = many({**x, "target": np.array([[0, 2, 3]] * 2)})["x_relevance"]
    for position, target in enumerate((0, 2, 3)):
        expected = one({**x, "target": np.array([target] * 2)})["x_relevance"]
        np.testing.assert_allclose(found[:, position], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
@pytest.mark.parametrize("precision", ["float32", "model"])
def test_half_precision(operator, composite, precision):
    """A float16 model converts to a valid one, in either precision."""
    source, _ = layer(operator, np.float16, ["", "Y_h"], "Y_h")
    explained = onnxlrp.convert(source, composite, target="weights", precision=precision).to_proto()
    onnx.checker.check_model(explained, full_check=True)


def test_an_activation_that_is_none():
    """The refusal names it."""
    source, _ = layer("RNN", np.float32, ["Y"], "Y", activations=["Cosine", "Tanh"])
    with pytest.raises(UnsupportedOperatorError, match="cosine"):
        onnxlrp.convert(source, "epsilon", target="weights")
