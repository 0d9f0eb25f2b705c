"""Relevance through operators over whole tensors: by formula against numpy, and a ledger that closes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import NothingToExplainError, UnsupportedOperatorError
from onnxlrp.interface import Interface
from tests.operators.case import Array, Case, onnxruntime, reference
from tests.oracle.tape import stabilised

RNG = np.random.default_rng(11)


@dataclasses.dataclass
class Run:
    """One operator, explained with relevance 1·weights at its output."""

    x: list[Array]
    weights: Array
    y: Array
    relevance: dict[int, Array]
    rows: Array
    plan: onnxlrp.Plan


def run(case: Case, composite: str = "epsilon", weights: Array | None = None) -> Run:
    """Relevance of every data operand; the ledger closes, whatever the case."""
    explained = onnxlrp.convert(case.model(), composite, target="weights", initial="one", ledger=True)
    feeds = case.inputs()
    y = reference(case.model())(feeds)["y"]
    weights = RNG.normal(size=y.shape) if weights is None else weights
    out = reference(explained.to_proto())({**feeds, "y_weights": weights})
    interface = Interface.from_metadata({m.key: m.value for m in explained.to_proto().metadata_props})
    rows = out[interface.ledger]
    arrives, *rest = rows.T
    np.testing.assert_allclose(arrives, sum(rest), atol=1e-9 * max(1.0, np.abs(rows).max()))
    found = {i: out[f"x{i}_relevance"] for i in case.data}
    return Run([np.asarray(v) for v in case.operands if v is not None], weights, y, found, rows, explained.plan)


# ------------------------------------------------------------------------------------------------------------- Einsum


def test_einsum_by_a_constant_is_a_dense_layer():
    """The same relevance as MatMul's, by every kind of rule."""
    x, w = RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    for composite in ("epsilon", "excitation_backprop", "epsilon_plus_flat", "deep_taylor"):
        weights = RNG.normal(size=(3, 2))
        ours = run(Case("Einsum", [x, w], attributes={"equation": "bi,io->bo"}), composite, weights)
        turned = run(Case("Einsum", [w.T, x], data=(1,), attributes={"equation": "oi,bi->bo"}), composite, weights)
        theirs = run(Case("MatMul", [x, w]), composite, weights)
        assert [s.kind.value for s in ours.plan.steps] == ["layer"]
        np.testing.assert_allclose(ours.relevance[0], theirs.relevance[0], rtol=1e-9)
        np.testing.assert_allclose(turned.relevance[1], theirs.relevance[0], rtol=1e-9)


def test_einsum_of_three_is_no_layer():
    """Both data operands take half, and the constant between them none."""
    a, w, b = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 4)), RNG.normal(size=(4, 2))
    got = run(Case("Einsum", [a, w, b], data=(0, 2), attributes={"equation": "ij,jk,kl->il"}))
    share = got.weights / stabilised(a @ w @ b)
    np.testing.assert_allclose(got.relevance[0], 0.5 * a * (share @ (w @ b).T), rtol=1e-9)
    np.testing.assert_allclose(got.relevance[2], 0.5 * b * ((a @ w).T @ share), rtol=1e-9)


def test_einsum_of_data_is_a_product():
    """Half to each operand, all of it where the other is a gate's."""
    a, b = RNG.normal(size=(2, 3)), RNG.normal(size=(3, 2))
    got = run(Case("Einsum", [a, b], data=(0, 1), attributes={"equation": "ij,jk->ik"}))
    share = got.weights / stabilised(a @ b)
    np.testing.assert_allclose(got.relevance[0], 0.5 * a * (share @ b.T), rtol=1e-9)
    np.testing.assert_allclose(got.relevance[1], 0.5 * b * (a.T @ share), rtol=1e-9)


@pytest.mark.parametrize("equation", ["ij->i", "ii->", "ii->i", "ij->"])
def test_einsum_of_one_operand_is_a_sum(equation):
    x = RNG.normal(size=(3, 3))
    got = run(Case("Einsum", [x], attributes={"equation": equation}))
    share = got.weights / stabilised(got.y)
    spread = {
        "ij->i": lambda s: s[:, None] * np.ones((3, 3)),
        "ii->": lambda s: s * np.eye(3),
        "ii->i": lambda s: np.diag(s),
        "ij->": lambda s: s * np.ones((3, 3)),
    }[equation](share)
    np.testing.assert_allclose(got.relevance[0], x * spread, rtol=1e-9)


# ------------------------------------------------------------------------------------------- running sums and products


def test_an_axis_that_is_named_twice():
    """It is one axis, as onnxruntime takes it."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = []
    for axes in ([1], [1, -2]):
        node = helper.make_node("ReduceMean", ["x"], ["y"], axes=axes, keepdims=0)
        values = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 3, 4]), ("y", [2, 4])))
        graph = helper.make_graph([node], "net", *([v] for v in values))
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        found.append(onnxruntime(onnxlrp.convert(proto).to_proto())({"x": x}))
    np.testing.assert_array_equal(found[0]["x_relevance"], found[1]["x_relevance"])
    np.testing.assert_array_equal(found[0]["y"], found[1]["y"])


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sum(exclusive, reverse):
    x = RNG.normal(size=(2, 4))
    attributes = {"exclusive": exclusive, "reverse": reverse}
    got = run(Case("CumSum", [x, np.array(1)], attributes=attributes))
    takes = np.tril(np.ones((4, 4)), -exclusive)
    takes = takes.T if reverse else takes
    np.testing.assert_allclose(got.relevance[0], x * ((got.weights / stabilised(got.y)) @ takes), rtol=1e-9)


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_product(exclusive, reverse):
    """Every factor takes the same share; the empty product is a constant."""
    x = RNG.normal(size=(2, 4))
    attributes = {"exclusive": exclusive, "reverse": reverse}
    got = run(Case("CumProd", [x, np.array(1)], attributes=attributes, opset=26))
    takes = np.tril(np.ones((4, 4)), -exclusive)
    takes = takes.T if reverse else takes
    shares = takes / np.maximum(takes.sum(1, keepdims=True), 1)
    np.testing.assert_allclose(got.relevance[0], got.weights @ shares, rtol=1e-9)
    if not exclusive:
        np.testing.assert_allclose(got.relevance[0].sum(), got.weights.sum(), rtol=1e-9)


@pytest.mark.parametrize("data", [(0,), (2,), (0, 2)])
def test_row_of_numbers(data):
    start, step = np.array(0.5), np.array(0.75)
    got = run(Case("Range", [start, np.array(3.0), step], data=data))
    share = got.weights / stabilised(got.y)
    expected = {0: start * share.sum(), 2: step * (share * np.arange(len(share))).sum()}
    for index in data:
        np.testing.assert_allclose(got.relevance[index], expected[index], rtol=1e-9)


# ------------------------------------------------------------------------------------------------------------ matrices


def test_determinant():
    """Every row takes the same share, each element by what it contributes."""
    x = RNG.normal(size=(2, 3, 3))
    got = run(Case("Det", [x]))
    cofactors = np.linalg.det(x)[:, None, None] * np.linalg.inv(x).transpose(0, 2, 1)
    share = got.weights / (3 * stabilised(got.y))
    np.testing.assert_allclose(got.relevance[0], x * cofactors * share[:, None, None], rtol=1e-8)
    rows = got.relevance[0].sum(-1)
    np.testing.assert_allclose(rows, rows.mean(-1, keepdims=True) * np.ones(3), rtol=1e-8)


def test_large_matrices_are_refused():
    with pytest.raises(UnsupportedOperatorError, match="larger than 16"):
        onnxlrp.convert(Case("Det", [RNG.normal(size=(17, 17))]).model(), "epsilon", target="weights")
    with pytest.raises(UnsupportedOperatorError, match="must be declared"):
        onnxlrp.convert(Case("Det", [RNG.normal(size=(3, 3))]).model(dynamic=True), "epsilon", target="weights")


# ------------------------------------------------------------------------------------------------- scatters, selections


@pytest.mark.parametrize(("reduction", "best"), [("max", np.maximum), ("min", np.minimum)])
def test_ties_go_to_the_data_then_to_the_first_update(reduction, best):
    data, updates = np.array([1.0, 5.0, 0.0]), np.array([1.0, 2.0, 5.0, 2.0, -3.0, -3.0])
    where = np.array([0, 2, 1, 2, 2, 2])
    weights = np.array([1.0, 10.0, 100.0])
    case = Case("ScatterElements", [data, where, updates], data=(0, 2), attributes={"reduction": reduction})
    got = run(case, weights=weights)
    expected = np.zeros(6)
    expected[1 if reduction == "max" else 4] = 100
    np.testing.assert_array_equal(got.relevance[0], [1, 10, 0])
    np.testing.assert_array_equal(got.relevance[2], expected)
    assert got.y[2] == best.reduce([0.0, 2.0, -3.0])


def test_added_updates_take_what_they_contribute():
    data, updates = RNG.normal(size=(3, 2)), RNG.normal(size=(4, 2))
    where = np.array([[2], [0], [2], [2]])
    attributes = {"reduction": "add"}
    got = run(Case("ScatterND", [data, where, updates], data=(0, 2), attributes=attributes))
    share = got.weights / stabilised(got.y)
    np.testing.assert_allclose(got.relevance[0], data * share, rtol=1e-9)
    np.testing.assert_allclose(got.relevance[2], updates * share[where[:, 0]], rtol=1e-9)
    got = run(Case("ScatterND", [data, where, updates], data=(2,), attributes=attributes))
    assert [s.kind.value for s in got.plan.steps] == ["sum"]


def test_factors_that_are_scattered_share():
    data, updates = RNG.normal(size=3), RNG.normal(size=4)
    where, counts = np.array([2, 0, 2, 2]), np.array([2, 1, 4])
    attributes = {"reduction": "mul"}
    got = run(Case("ScatterElements", [data, where, updates], data=(0, 2), attributes=attributes))
    np.testing.assert_allclose(got.relevance[0], got.weights / counts, rtol=1e-9)
    np.testing.assert_allclose(got.relevance[2], (got.weights / counts)[where], rtol=1e-9)


def test_equal_values_go_to_the_first_of_them():
    x = np.array([[2.0, 1.0, 2.0], [1.0, 3.0, 2.0]])
    got = run(Case("Unique", [x], outputs=4), weights=np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(got.relevance[0], [[10, 1, 0], [0, 100, 0]])
    x = np.array([[2.0, 1.0, 2.0], [1.0, 3.0, 1.0]])
    weights = np.arange(4.0).reshape(2, 2)
    got = run(Case("Unique", [x], outputs=4, attributes={"axis": 1}), weights=weights)
    np.testing.assert_array_equal(got.relevance[0], [[1, 0, 0], [3, 2, 0]])


def test_run_time_axes_give_ties_to_the_first():
    x = np.array([[1.0, 7.0, 7.0], [7.0, 0.0, 2.0]])
    case = Case("ReduceMax", [x, np.array([1, 0])], feeds=(1,), static=(1,), attributes={"keepdims": 0})
    explained = onnxlrp.convert(case.model(), "epsilon", target="weights", initial="one").to_proto()
    out = reference(explained)({**case.inputs(), "y_weights": np.array(5.0)})
    np.testing.assert_array_equal(out["x0_relevance"], [[0, 5, 0], [0, 0, 0]])


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (1, 4), (4, 5), (3,), (2, 1, 3)], ids=str)
def test_windows_side_by_side_give_ties_to_the_first(kernel):
    """By comparison, at whatever batch, and from 17 elements on along one axis after the other."""
    counts = (4, 5, 2)[: len(kernel)]
    x = RNG.integers(-2, 2, (3, 2, *np.multiply(counts, kernel))).astype(np.float64)
    weights = RNG.normal(size=(3, 2, *counts)).astype(np.float32)
    expected = np.zeros_like(x)
    for n, c, *window in np.ndindex(*weights.shape):
        begin = np.multiply(window, kernel)
        elements = x[n, c][tuple(slice(b, b + k) for b, k in zip(begin, kernel, strict=True))]
        winner = begin + np.unravel_index(elements.argmax(), kernel)
        expected[n, c, *winner] = weights[n, c, *window]
    case = Case("MaxPool", [x], attributes={"kernel_shape": kernel, "strides": kernel})
    for floating, runner in ((np.float64, reference), (np.float32, reference), (np.float32, onnxruntime)):
        model = case.model(floating=floating)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
        explained = onnxlrp.convert(model, "gradient", target="weights").to_proto()
        assert not any(n.op_type == "ScatterElements" for n in explained.graph.node)
        got = runner(explained)({"x0": x.astype(floating), "y_weights": weights.astype(floating)})
        np.testing.assert_array_equal(got["x0_relevance"], expected)


# ------------------------------------------------------------------------------------------------------------- signals


def test_fourier_transform_is_a_sum():
    """`x·Aᵀ(R/s(Ax))` with the dense matrix of the transform."""
    x = RNG.normal(size=(1, 5, 1))
    got = run(Case("DFT", [x, None, np.array(1)]))
    matrix = np.fft.fft(np.eye(5), axis=0)
    dense = np.stack([matrix.real, matrix.imag], 1).reshape(10, 5)
    share = (got.weights / stabilised(got.y)).reshape(10)
    np.testing.assert_allclose(got.relevance[0].reshape(5), x.reshape(5) * (dense.T @ share), rtol=1e-7)


def test_signal_and_window_of_data_share():
    signal, window = RNG.normal(size=(1, 8, 1)), RNG.normal(size=(4,))
    got = run(Case("STFT", [signal, np.array(2), window], data=(0, 2), attributes={"onesided": 1}))
    np.testing.assert_allclose(got.relevance[0].sum(), got.relevance[2].sum(), rtol=1e-9)


# ------------------------------------------------------------------------------------ elementwise, and quantised pairs


def test_bounds_and_slopes_take_no_relevance():
    """Data that only bounds or scales says how much, not what."""
    x = RNG.normal(size=(2, 3))
    clip = onnxlrp.convert(
        Case("Clip", [x, np.array(-0.5), np.array(0.5)], data=(0, 1, 2)).model(), "epsilon", target="weights"
    )
    assert list(clip.interface.relevance) == ["x0"]
    slope = onnxlrp.convert(Case("PRelu", [x, x[:1]], data=(0, 1)).model(), "epsilon", target="weights")
    assert list(slope.interface.relevance) == ["x0"]
    with pytest.raises(NothingToExplainError, match="not what"):
        onnxlrp.convert(Case("PRelu", [x, x[:1]], data=(1,)).model(), "epsilon", target="weights")


def test_a_remainder_passes():
    x = RNG.normal(size=(2, 3))
    got = run(Case("Mod", [x, np.array(0.4)], attributes={"fmod": 1}))
    np.testing.assert_array_equal(got.relevance[0], got.weights)


def test_integers_that_count_carry_nothing():
    """Positions from a running sum of a mask: the table they are looked up in is constant."""
    nodes = [
        helper.make_node("CumSum", ["mask", "one"], ["ends"]),
        helper.make_node("Gather", ["table", "ends"], ["places"]),
        helper.make_node("Add", ["x", "places"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "positions",
        [
            helper.make_tensor_value_info("x", TensorProto.DOUBLE, [2, 3, 4]),
            helper.make_tensor_value_info("mask", TensorProto.INT64, [2, 3]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [2, 3, 4])],
        [numpy_helper.from_array(np.array(1), "one"), numpy_helper.from_array(RNG.normal(size=(5, 4)), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    explained = onnxlrp.convert(model, "epsilon", target="weights")
    assert list(explained.interface.relevance) == ["x"]


@pytest.mark.parametrize("kind", ["tensor", "axis", "blocks"])
def test_quantised_pairs_pass(kind):
    """R as it is, whatever was rounded; and what counts from the lowest number is never negative."""
    lengths, attributes = {
        "tensor": ((), {}),
        "axis": ((4,), {"axis": 1}),
        "blocks": ((3, 2), {"axis": 1, "block_size": 2}),
    }[kind]
    x = RNG.normal(size=(3, 4))
    scale, zero = np.full(lengths, 0.1), np.full(lengths, 7, np.uint8)
    body = helper.make_node("DequantizeLinear", ["y0", "x1", "x2"], ["y"], **attributes)
    case = Case("QuantizeLinear", [x, scale, zero], attributes=attributes, bodies=[body])
    got = run(case)
    np.testing.assert_array_equal(got.relevance[0], got.weights)


# --------------------------------------------------------------------------------------------------------------- norms


def test_mean_and_deviation_of_a_layer_norm():
    """The mean in proportion to the contributions, the deviation in proportion to the squares."""
    x, gamma = RNG.normal(size=(2, 5)), RNG.normal(size=5)
    for which in (1, 2):
        body = helper.make_node("CastLike", [f"y{which}", "x0"], ["y"])
        case = Case("LayerNormalization", [x, gamma], attributes={"axis": -1}, outputs=3, bodies=[body])
        got = run(case)
        parts = x if which == 1 else (x - x.mean(1, keepdims=True)) ** 2
        expected = parts * got.weights / stabilised(parts.sum(1, keepdims=True))
        np.testing.assert_allclose(got.relevance[0], expected, rtol=1e-6)


def test_batch_norm_in_training_is_one_step():
    """Over the batch, as an instance norm is over an instance; the running statistics by what they are made of."""
    x, gamma, beta = RNG.normal(size=(4, 3, 2)), RNG.normal(size=3), RNG.normal(size=3)
    mean, variance = RNG.normal(size=3), np.full(3, 0.7)
    attributes = {"training_mode": 1, "momentum": 0.75, "epsilon": 2.0**-10}

    def of(output: int) -> Run:
        body = helper.make_node("Identity", [f"y{output}"], ["y"])
        return run(
            Case(
                "BatchNormalization", [x, gamma, beta, mean, variance], attributes=attributes, outputs=3, bodies=[body]
            )
        )

    got, k = of(0), (gamma / np.sqrt(x.var((0, 2)) + 2.0**-10))[:, None]
    share = k * got.weights / stabilised(got.y)
    np.testing.assert_allclose(got.relevance[0], x * (share - share.mean((0, 2), keepdims=True)), rtol=1e-7)
    squares = (x - x.mean((0, 2), keepdims=True)) ** 2
    for output, parts, old in ((1, x, mean), (2, squares, variance)):
        got = of(output)
        taken = got.weights * (got.y - 0.75 * old) / stabilised(got.y)
        expected = parts * (taken / stabilised(parts.sum((0, 2))))[:, None]
        np.testing.assert_allclose(got.relevance[0], expected, rtol=1e-7)


def test_mean_variance_norm_is_one_step():
    x = RNG.normal(size=(2, 3, 4, 2))
    got = run(Case("MeanVarianceNormalization", [x], attributes={"axes": [0, 2, 3]}))
    sigma = x.std((0, 2, 3), keepdims=True)
    share = got.weights / stabilised(got.y) / sigma
    np.testing.assert_allclose(got.relevance[0], x * (share - share.mean((0, 2, 3), keepdims=True)), rtol=1e-6)


# -------------------------------------------------------------------------------------------------------------- losses


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("ignored", [None, 1])
@pytest.mark.parametrize("weighed", [False, True])
def test_the_labels_of_a_loss_take_nothing(reduction, ignored, weighed):
    """Neither as positions nor through the weights of their classes: all goes to the scores that were chosen."""
    scores, labels = RNG.normal(size=(4, 3)), np.array([0, 1, 2, 1])
    attributes = {"reduction": reduction} | ({} if ignored is None else {"ignore_index": ignored})
    weight = np.array([0.5, 2.0, 1.0]) if weighed else None
    case = Case("NegativeLogLikelihoodLoss", [scores, labels, weight], feeds=(1,), attributes=attributes)
    got = run(case)
    explained = onnxlrp.convert(case.model(), "epsilon", target="weights")
    assert list(explained.interface.relevance) == ["x0"]
    kept = np.ones(4) if ignored is None else (labels != ignored).astype(float)
    terms = -scores[np.arange(4), labels] * kept * (np.ones(3) if weight is None else weight)[labels]
    expected = np.zeros((4, 3))
    total = terms if reduction == "none" else terms.sum()
    expected[np.arange(4), labels] = kept * (got.weights if reduction == "none" else got.weights * terms / total)
    np.testing.assert_allclose(got.relevance[0], expected, rtol=1e-3, atol=1e-3)
