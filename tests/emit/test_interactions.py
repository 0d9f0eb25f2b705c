"""Interactions go from the operator that has them to the columns of the inputs, with every factor of relevance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.operators import registry
from onnxlrp.operators.registry import Reversed
from tests.emit.cuda_kernels import report
from tests.operators.case import onnxruntime

Array = np.ndarray
FLOAT, STRING = TensorProto.FLOAT, TensorProto.STRING


pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")


@pytest.fixture(autouse=True)
def square() -> Iterator[None]:
    """Let ReduceSumSquare stand for `(Σ x)²` in these tests: each column gets x·Σx, and a pair x·x′ at both places."""

    def reverse(op: Any, call: Any, r: Any, gradient: bool) -> Reversed:
        """Shares out by products of columns."""
        x = call.operand(0)
        pairs = op.Mul(op.Unsqueeze(x, op.ints([1])), op.Unsqueeze(x, op.ints([2])))
        others = op.Where(op.constant(np.eye(call.attr("interactions", 1), dtype=bool)), op.number(0.0, x), pairs)
        amount = op.Mul(r, op.Mul(x, op.ReduceSum(x, op.ints([1]))))
        asked = call.attr("interactions") is not None
        return Reversed({0: amount}, interactions=op.Mul(op.Unsqueeze(r, op.ints([2])), others) if asked else None)

    entry = registry.make_entry(
        registry.Kind.CUSTOM, "ReduceSumSquare", "", reverse, interacts=True, when=lambda node: True
    )
    registry.register(entry)
    yield
    registry.unregister(entry)


def model(nodes: Sequence[onnx.NodeProto], inputs: dict[str, tuple[int, list[Any]]], **constants: Array):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def squared(x: str, y: str = "y") -> onnx.NodeProto:
    return helper.make_node("ReduceSumSquare", [x, "axis"], [y], name=f"square of {x}")


AXIS = {"axis": np.array([1])}


def explain(source: onnx.ModelProto, feeds: dict[str, Array], **options: Any) -> tuple[Any, dict[str, Array], Array]:
    """The interface, all outputs, and the interactions; rows add up to relevance."""
    converted = onnxlrp.convert(source, interactions=True, initial="one", **options)
    proto = converted.to_proto()
    report(proto)
    found = onnxruntime(proto)(feeds)
    face = converted.interface
    pairs = found[str(face.interactions)]
    columns = [found[name] for name in face.relevance.values()]
    axis = 1 if face.targets == 1 else 2
    rows = np.concatenate([c.reshape(*c.shape[:axis], -1) for c in columns], axis=axis)
    np.testing.assert_allclose(pairs.sum(-1), rows, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(pairs, pairs.swapaxes(-1, -2))
    declared = {o.name: [d.dim_value or d.dim_param for d in o.type.tensor_type.shape.dim] for o in proto.graph.output}
    assert declared[str(face.interactions)][1:] == list(pairs.shape[1:])
    return face, found, pairs


def others(rows: Array, factor: float = 1.0) -> Array:
    """Products of each pair of columns, 0 on the diagonal."""
    pairs = rows[:, :, None] * rows[:, None, :] * factor
    return pairs * (1 - np.eye(rows.shape[1]))


def off(pairs: Array) -> Array:
    return pairs * (1 - np.eye(pairs.shape[-1]))


X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_one_input():
    """Downstream, a factor and a sum scale interactions as they scale values."""
    nodes = [squared("x", "s"), helper.make_node("Mul", ["s", "scale"], ["y"])]
    source = model(nodes, {"x": (FLOAT, ["N", 3])}, scale=np.float32([[-2.0]]), **AXIS)
    converted = onnxlrp.convert(source, interactions=True)
    assert converted.interface.interactions == "x_interactions"
    assert converted.interface.interaction_columns == ("x[0]", "x[1]", "x[2]")
    explanation = onnxlrp.Explainer(converted, ["CPUExecutionProvider"])({"x": X})
    whole = X.sum(1) ** 2
    # The score is −2·s, and all of it goes to s, whose squares here stand for s² of ONNX.
    factor = (explanation.relevance["x"].sum(1) / whole)[:, None, None]
    np.testing.assert_allclose(off(explanation.interactions), others(X) * factor, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(explanation.interactions.sum(2), explanation.relevance["x"], rtol=1e-4, atol=1e-5)
    assert set(explanation.outputs) == {"y"}


def test_columns_of_several_inputs():
    """Concat, scalers, casts, selections and reshapes keep columns; the order is that of the inputs."""
    nodes = [
        helper.make_node("Cast", ["b"], ["b2"], to=FLOAT),
        helper.make_node("Concat", ["b2", "a", "c"], ["joined"], axis=1),
        helper.make_node("Scaler", ["joined"], ["scaled"], domain="ai.onnx.ml", offset=[0.5] * 4, scale=[2.0] * 4),
        helper.make_node("Gather", ["scaled", "order"], ["x"], axis=1),
        squared("x"),
    ]
    inputs = {"a": (FLOAT, ["N", 1]), "b": (TensorProto.INT64, ["N", 1]), "c": (FLOAT, ["N", 2])}
    source = model(nodes, inputs, order=np.array([3, 2, 1, 0]), **AXIS)
    feeds = {"a": X[:, :1], "b": np.arange(5)[:, None], "c": X[:, 1:]}
    face, _, pairs = explain(source, feeds)
    assert face.interactions == "interactions" and face.interaction_columns == ("a", "b", "c[0]", "c[1]")
    rows = (np.concatenate([feeds["a"], feeds["b"], feeds["c"]], axis=1) - 0.5) * 2
    np.testing.assert_allclose(off(pairs), others(rows), rtol=1e-4, atol=1e-5)


def test_blocks_of_an_encoder_add_up():
    """A constant that is joined to the columns has no place; pairs within a block count on the diagonal."""
    nodes = [
        helper.make_node("OneHotEncoder", ["city"], ["cities"], domain="ai.onnx.ml", cats_strings=["p", "q", "r"]),
        helper.make_node("Mul", ["cities", "weights"], ["weighted"]),
        helper.make_node("Reshape", ["weighted", "rows"], ["flat"]),
        helper.make_node("Concat", ["flat", "a"], ["x"], axis=1),
        squared("x"),
    ]
    inputs = {"city": (STRING, ["N", 1]), "a": (FLOAT, ["N", 1])}
    weights = np.float32([[[1.0, 2.0, 4.0]]])
    source = model(nodes, inputs, rows=np.array([-1, 3]), weights=weights, **AXIS)
    feeds = {"city": np.array([["p"], ["r"], ["q"], ["other"], ["p"]], object), "a": X[:, :1]}
    face, _, pairs = explain(source, feeds)
    assert face.interaction_columns == ("city", "a")
    rows = np.concatenate([np.float32([[1], [4], [2], [0], [1]]), feeds["a"]], axis=1)
    np.testing.assert_allclose(off(pairs), others(rows), rtol=1e-4, atol=1e-5)


def test_several_targets_and_ensembles():
    """Two squares of other columns, each a class: K targets come as [N, K, columns, columns], beside a ledger."""
    nodes = [
        helper.make_node("Gather", ["x", "some"], ["u"], axis=1),
        squared("u", "first"),
        squared("x", "second"),
        helper.make_node("Concat", ["first", "second"], ["y"], axis=1),
    ]
    source = model(nodes, {"x": (FLOAT, ["N", 3])}, some=np.array([2, 0]), **AXIS)
    chosen = np.tile(np.int64([[1, 0]]), (5, 1))
    _, _, pairs = explain(source, {"x": X, "target": chosen}, targets=2, ledger=True)
    assert pairs.shape == (5, 2, 3, 3)
    np.testing.assert_allclose(off(pairs[:, 0]), others(X), rtol=1e-4, atol=1e-5)
    few = others(X * np.float32([1, 0, 1]))
    np.testing.assert_allclose(off(pairs[:, 1]), few, rtol=1e-4, atol=1e-5)


def test_sums_beside_a_linear_layer():
    """A dense layer beside adds to the diagonal alone; columns that are not explained have no place."""
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["linear"]),
        squared("x", "s"),
        helper.make_node("Concat", ["s", "linear"], ["y"], axis=1),
    ]
    inputs = {"a": (FLOAT, ["N", 2]), "b": (FLOAT, ["N", 1])}
    source = model(nodes, inputs, w=np.float32([[1.0], [2.0], [3.0]]), **AXIS)
    feeds = {"a": X[:, :2], "b": X[:, 2:]}
    _, _, pairs = explain(source, {**feeds, "target": np.array([0])})
    np.testing.assert_allclose(off(pairs), others(X), rtol=1e-4, atol=1e-5)
    _, _, pairs = explain(source, {**feeds, "target": np.array([1])})
    assert not off(pairs).any()
    face, _, pairs = explain(source, {**feeds, "target": np.array([0])}, inputs=["a"])
    assert face.interactions == "a_interactions"
    np.testing.assert_allclose(off(pairs), others(X[:, :2]), rtol=1e-4, atol=1e-5)


BESIDE = [
    squared("x", "s"),
    helper.make_node("Abs", ["x"], ["e"], name="curve"),
    helper.make_node("Concat", ["s", "e"], ["y"], axis=1),
]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([helper.make_node("Relu", ["x"], ["y"])], "none lies between"),
        ([helper.make_node("MatMul", ["x", "w"], ["h"], name="mix"), squared("h")], "MatMul 'mix'"),
        ([squared("x", "s"), squared("s")], "square of x"),
        (BESIDE, "Abs 'curve' lies beside"),
    ],
    ids=["no ensemble", "mixed columns", "an ensemble upstream", "a function beside"],
)
def test_refused(nodes, said):
    source = model(nodes, {"x": (FLOAT, ["N", 3])}, w=np.eye(3, dtype=np.float32), **AXIS)
    with pytest.raises(InputError, match=said):
        onnxlrp.convert(source, interactions=True)


def test_gradients_and_unknown_widths_are_refused():
    source = model([squared("x")], {"x": (FLOAT, ["N", 3])}, **AXIS)
    with pytest.raises(InputError, match="is a gradient"):
        onnxlrp.convert(source, "gradient", interactions=True)
    source = model([squared("x")], {"x": (FLOAT, ["N", "M"])}, **AXIS)
    with pytest.raises(InputError, match="'x' declares no number of columns"):
        onnxlrp.convert(source, interactions=True)
