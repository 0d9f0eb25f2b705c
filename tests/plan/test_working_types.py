"""Types that change within a model: relevance computes in the type of the layers, and every step finds its operands in
one type.

Each operator stands between a product in one type and a product in another; relevance must be that of the same model in
float32 throughout, the model's own output what it was.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from tests.operators.case import onnxruntime, reference

Array = np.ndarray
FLOAT, DOUBLE, BFLOAT16, FLOAT16 = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.BFLOAT16,
    TensorProto.FLOAT16,
)
NUMPY = {FLOAT: np.float32, DOUBLE: np.float64, BFLOAT16: ml_dtypes.bfloat16, FLOAT16: np.float16}
PICTURE, ROWS = (2, 2, 8, 8), (2, 8)


@dataclasses.dataclass(frozen=True)
class Op:
    """An operator under test: its operands besides the data, in its own type (or int64), and its attributes."""

    shape: Sequence[int] = ROWS
    operands: Sequence[Array | None] = ()
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    outputs: int = 1
    double: bool = True
    """Whether onnxruntime's CPU has a kernel for float64."""


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).normal(size=shape)


POOL = {"kernel_shape": [2, 2], "strides": [2, 2]}
OPERATORS = {
    "Conv": Op(PICTURE, [normal(3, 2, 3, 3), normal(3)], double=False),
    "ConvTranspose": Op(PICTURE, [normal(2, 3, 3, 3)], double=False),
    "AveragePool": Op(PICTURE, attributes=POOL, double=False),
    "MaxPool": Op(PICTURE, attributes=POOL),
    "GlobalMaxPool": Op(PICTURE, double=False),
    "Resize": Op(PICTURE, [None, np.float32([1, 1, 2, 2])], {"mode": "linear"}, double=False),
    "BatchNormalization": Op(PICTURE, [np.ones(2), normal(2), normal(2), np.ones(2) * 2]),
    "InstanceNormalization": Op(PICTURE, [np.ones(2), normal(2)], double=False),
    "GroupNormalization": Op(PICTURE, [np.ones(2), normal(2)], {"num_groups": 1}, double=False),
    "MatMul": Op(ROWS, [normal(8, 3)]),
    "Gemm": Op(ROWS, [normal(8, 3), normal(3)]),
    "Gelu": Op(double=False),
    "Erf": Op(double=False),
    "Softplus": Op(double=False),
    "Softmax": Op(),
    "Relu": Op(),
    "Sin": Op(),
    "Elu": Op(double=False),
    "Clip": Op(ROWS, [np.float64(-0.5), np.float64(0.5)]),
    "LayerNormalization": Op(ROWS, [np.ones(8), normal(8)]),
    "ReduceMax": Op(ROWS, [np.int64([1])]),
    "ReduceL2": Op(ROWS, [np.int64([1])]),
    "TopK": Op(ROWS, [np.int64([3])], outputs=2),
    "CumSum": Op(ROWS, [np.int64(1)]),
    "LSTM": Op((5, 2, 8), [normal(1, 16, 8), normal(1, 16, 4)], {"hidden_size": 4}, double=False),
    "GRU": Op((5, 2, 8), [normal(1, 12, 8), normal(1, 12, 4)], {"hidden_size": 4}, double=False),
}
DOUBLES = [name for name, op in OPERATORS.items() if op.double]


def model(name: str, before: int, own: int, after: int) -> onnx.ModelProto:
    """The operator in its own type between a product in the type `before` and one in the type `after`."""
    op = OPERATORS[name]
    nodes = [
        helper.make_node("Mul", ["x", "first"], ["p"]),
        helper.make_node("Cast", ["p"], ["m"], to=own),
        helper.make_node(
            name,
            ["m", *("" if v is None else f"w{i}" for i, v in enumerate(op.operands))],
            ["y0", *(f"_{i}" for i in range(1, op.outputs))],
            **op.attributes,
        ),
        helper.make_node("Cast", ["y0"], ["d"], to=after),
        helper.make_node("Mul", ["d", "last"], ["y"]),
    ]
    constants = [
        numpy_helper.from_array(np.asarray(1.5, NUMPY[before]), "first"),
        numpy_helper.from_array(np.asarray(1.25, NUMPY[after]), "last"),
        *(
            numpy_helper.from_array(v.astype(NUMPY[own]) if v.dtype == np.float64 else v, f"w{i}")
            for i, v in enumerate(op.operands)
            if v is not None
        ),
    ]
    inputs = [helper.make_tensor_value_info("x", before, op.shape)]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", after, None)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def relevance(source: onnx.ModelProto, x: Array, composite: str, run: Any = onnxruntime) -> tuple[Array, Array]:
    """The relevance of x and the model's own output, under weights that no derivative is 0 for."""
    explained = onnxlrp.convert(source, composite, target="weights").to_proto()
    (kind,) = (i.type.tensor_type.elem_type for i in explained.graph.input if i.name == "y_weights")
    shape = run(source)({"x": x})["y"].shape
    found = run(explained)({"x": x, "y_weights": normal(*shape, seed=1).astype(NUMPY[kind])})
    return found["x_relevance"], found["y"]


@functools.cache
def in_float32(name: str, composite: str) -> Array:
    """The relevance of the model that is in float32 throughout."""
    x = normal(*OPERATORS[name].shape).astype(np.float32)
    return relevance(model(name, FLOAT, FLOAT, FLOAT), x, composite)[0]


def check(name: str, composite: str, before: int, own: int, after: int, expected: type) -> None:
    """The relevance of the mixed model is that of the same model in float32, in the expected type."""
    x = normal(*OPERATORS[name].shape)
    mixed = model(name, before, own, after)
    found, output = relevance(mixed, x.astype(NUMPY[before]), composite)
    wanted = in_float32(name, composite)
    assert found.dtype == expected
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4 * np.abs(wanted).max())
    np.testing.assert_allclose(output, onnxruntime(mixed)({"x": x.astype(NUMPY[before])})["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("composite", ["auto", "epsilon", "gradient_x_input"])
@pytest.mark.parametrize("name", OPERATORS)
def test_a_float64_tail(name, composite):
    """What torch's older exporter writes of anchors and grids: relevance stays in float32."""
    check(name, composite, FLOAT, FLOAT, DOUBLE, np.float32)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon_alpha2_beta1"])
@pytest.mark.parametrize("name", OPERATORS)
def test_float64_all_around(name, composite):
    """Preparation and tail in float64: the layers decide; a layer is missing where the operator is none."""
    check(name, composite, DOUBLE, FLOAT, DOUBLE, np.float32)


@pytest.mark.parametrize("composite", ["auto", "gradient_x_input"])
@pytest.mark.parametrize("name", DOUBLES)
def test_float64_within_float32(name, composite):
    """Layers in float64: relevance is in float64, what is in float32 beside them gets its casts."""
    layer = name in ("MatMul", "Gemm")
    check(name, composite, FLOAT, DOUBLE, FLOAT, np.float64 if layer else np.float32)


@pytest.mark.parametrize("composite", ["auto", "epsilon", "gradient"])
@pytest.mark.parametrize("name", ["Conv", "AveragePool", "MaxPool", "Resize", "LayerNormalization", "Softmax"])
def test_a_float32_operator_upstream_of_float64_layers(name, composite):
    """Relevance arrives in float64 at an operator that has no float64 kernel: that step computes in float32."""
    source = model(name, FLOAT, FLOAT, DOUBLE)
    graph = source.graph
    size = int(np.prod(onnxruntime(source)({"x": normal(*OPERATORS[name].shape).astype(np.float32)})["y"].shape[1:]))
    graph.node[-1].output[0] = "flat"
    graph.initializer.append(numpy_helper.from_array(normal(size, 3), "w"))
    graph.initializer.append(numpy_helper.from_array(np.int64([2, size]), "sizes"))
    graph.node.append(helper.make_node("Reshape", ["flat", "sizes"], ["rows"]))
    graph.node.append(helper.make_node("MatMul", ["rows", "w"], ["y"]))
    explained = onnxlrp.convert(source, composite).to_proto()
    found = onnxruntime(explained)({"x": normal(*OPERATORS[name].shape).astype(np.float32)})
    # A convolution is a layer, in float32: not all layers are in float64.
    assert found["x_relevance"].dtype == (np.float32 if name == "Conv" else np.float64)
    assert np.isfinite(found["x_relevance"]).all() and found["x_relevance"].any()


@pytest.mark.parametrize("composite", ["auto", "epsilon_plus", "gradient"])
@pytest.mark.parametrize("types", [(FLOAT, FLOAT, BFLOAT16), (BFLOAT16, FLOAT, BFLOAT16), (FLOAT, BFLOAT16, FLOAT)])
@pytest.mark.parametrize("name", ["Gemm", "Relu", "Softmax"])
def test_bfloat16(name, types, composite):
    """A bfloat16 tail, or bfloat16 layers within float32: relevance in float32 throughout, near float32's."""
    x = normal(*OPERATORS[name].shape)
    mixed = model(name, *types)
    found, _ = relevance(mixed, x.astype(NUMPY[types[0]]), composite, reference)
    wanted = in_float32(name, composite)
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 0.1 * np.abs(wanted).max()
    part = [n for n in onnxlrp.convert(mixed, composite, target="weights").to_proto().graph.node if "lrp" in n.name]
    assert not any(a.i == BFLOAT16 for n in part for a in n.attribute if a.name == "to")


def test_precision_is_the_type_of_the_layers():
    """A float32 tail behind float16 layers leaves relevance in float16, a bfloat16 one behind float32 in float32."""
    half = onnxlrp.convert(model("Gemm", FLOAT, FLOAT16, FLOAT), "epsilon", precision="model").to_proto()
    assert any(a.i == FLOAT16 for n in half.graph.node if "lrp" in n.name for a in n.attribute if a.name == "to")
    onnxlrp.convert(model("Gemm", FLOAT, FLOAT, BFLOAT16), "epsilon", precision="model")
    with pytest.raises(InputError, match="bfloat16"):
        onnxlrp.convert(model("Gemm", FLOAT, BFLOAT16, FLOAT), "epsilon", precision="model")


@pytest.mark.parametrize("options", [{"ledger": True}, {"targets": 2}, {"initial": "one"}, {"relevance_at": ["y0"]}])
@pytest.mark.parametrize("types", [(FLOAT, FLOAT, DOUBLE), (FLOAT, DOUBLE, FLOAT), (DOUBLE, FLOAT, FLOAT)])
def test_options(types, options):
    """Ledger, several targets, other seeds and inner values are in one type as well."""
    explained = onnxlrp.convert(model("Gemm", *types), "epsilon_plus", **options).to_proto()
    found = onnxruntime(explained)({"x": normal(*ROWS).astype(NUMPY[types[0]])})
    wanted = np.float64 if types[1] == DOUBLE else np.float32
    assert all(v.dtype == wanted for k, v in found.items() if "relevance" in k)
    if "ledger" in options:
        table = found["relevance_ledger"]
        np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-3 * np.abs(table).sum())


BODIES = {
    "If": """g (float[2, 8] x, bool flag) => (double[2, 3] y) {
        y = If (flag) <
            then_branch = t () => (double[2, 3] a) { m = MatMul (x, w) a = Cast <to = 11> (m) },
            else_branch = e () => (double[2, 3] b) { c = Cast <to = 11> (x) v = Cast <to = 11> (w) b = MatMul (c, v) }>
    }""",
    "Scan": """g (float[2, 8] x) => (double[2, 8] y) <double[8] start = {0, 0, 0, 0, 0, 0, 0, 0}> {
        last, y = Scan <num_scan_inputs = 1, body = b (double[8] s, float[8] e) => (double[8] t, double[8] o) {
            r = Relu (e) c = Cast <to = 11> (r) t = Add (s, c) o = Mul (t, c) }> (start, x)
    }""",
    "Loop": """g (float[2, 8] x) => (double[2, 8] y) <int64 n = {3}, bool go = {1}, float k = {1.1}> {
        z = Loop (n, go, x) <body = b (int64 i, bool before, float[2, 8] s) => (bool after, float[2, 8] t) {
            after = Identity (before) c = Cast <to = 11> (s) u = Tanh (c) v = Cast <to = 1> (u) t = Mul (v, k) }>
        y = Cast <to = 11> (z)
    }""",
}


@pytest.mark.parametrize("composite", ["auto", "epsilon", "gradient_x_input"])
@pytest.mark.parametrize("name", BODIES)
def test_bodies(name, composite):
    """Types that change inside a branch or a loop."""
    source = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21]> ' + BODIES[name])
    if name == "If":
        source.graph.initializer.append(numpy_helper.from_array(normal(8, 3).astype(np.float32), "w"))
    feeds: dict[str, Array] = {"x": normal(*ROWS).astype(np.float32)}
    for flag in (True, False) if name == "If" else (None,):
        if flag is not None:
            feeds["flag"] = np.array(flag)
        explained = onnxlrp.convert(source, composite, target="weights").to_proto()
        found = onnxruntime(explained)(feeds)
        np.testing.assert_array_equal(found["y"], onnxruntime(source)(feeds)["y"])
        assert found["x_relevance"].dtype == np.float32 and found["x_relevance"].any()


def test_ids_that_are_moved_keep_float64():
    """Relevance of ids in a float64 model is not rounded to float32 where they are reshaped upstream of their table."""
    table = numpy_helper.from_array(normal(7, 4), "table")
    nodes = [
        helper.make_node("Reshape", ["ids", "flat"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["words"]),
        helper.make_node("ReduceSum", ["words", "axis"], ["y"], keepdims=0),
    ]
    weights = [table, numpy_helper.from_array(np.int64([1, 3]), "flat"), numpy_helper.from_array(np.int64([1]), "axis")]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT64, [3])
    y = helper.make_tensor_value_info("y", DOUBLE, [1, 4])
    graph = helper.make_graph(nodes, "g", [ids], [y], weights)
    source = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    explained = onnxlrp.convert(source, "lrp0", target="weights").to_proto()
    found = onnxruntime(explained)({"ids": np.int64([2, 5, 0])})
    expected = numpy_helper.to_array(table)[[2, 5, 0]].sum(1)
    np.testing.assert_allclose(found["ids_relevance"], expected, rtol=1e-14)
