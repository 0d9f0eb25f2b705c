"""Kernels that are written out, against the rule as it stands, in extended precision and one pair of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from tests.emit.cuda_kernels import report
from tests.operators.case import onnxruntime, reference

Array = np.ndarray
N, F, J = 5, 3, 6
RNG = np.random.default_rng(5)
ROWS, WEIGHTS, X = RNG.normal(size=(J, F)), RNG.normal(size=(J, 1)), RNG.normal(size=(N, F))
BIAS, SCALES = 0.7, np.array([1.0, 2.0, 0.5])
ROOT3, ROOT5 = 3**0.5, 5**0.5


class Net:
    """Nodes, one after the other."""

    def __init__(self, dtype: type = np.float64) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        self.dtype = dtype

    def constant(self, array: object, dtype: type | None = None) -> str:
        name = f"c{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(array, dtype or self.dtype), name))
        return name

    def __call__(self, op_type: str, *inputs: object, **attributes: object) -> str:
        names = [v if isinstance(v, str) else self.constant(v) for v in inputs]
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, names, [name], **attributes))
        return name

    def model(self, output: str) -> onnx.ModelProto:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        dense = self("MatMul", output, WEIGHTS)
        self.nodes.append(helper.make_node("Add", [dense, self.constant([BIAS])], ["y"]))
        graph = helper.make_graph(
            self.nodes,
            "kernel",
            [helper.make_tensor_value_info("x", kind, ["N", F])],
            [helper.make_tensor_value_info("y", kind, ["N", 1])],
            self.tensors,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def pairs(net: Net, x: str = "x", rows: Array = ROWS, square: str = "ReduceSumSquare") -> str:
    """Differences of all pairs of rows."""
    wide = net("Unsqueeze", x, net.constant([1], np.int64))
    apart = net("Sub", wide, rows[None])
    axes = net.constant([2], np.int64)
    if square == "ReduceSum":
        return net("ReduceSum", net("Mul", apart, apart), axes, keepdims=0)
    if square == "Pow":
        return net("ReduceSum", net("Pow", apart, 2.0), axes, keepdims=0)
    return net("ReduceSumSquare", apart, axes, keepdims=0)


def scanned(net: Net, x: str = "x", rows: Array = ROWS) -> str:
    """As skl2onnx writes it: a Scan over the rows, and a Transpose."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(net.dtype))
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["all_in"], ["all_out"]),
            helper.make_node("Sub", ["all_in", "row"], ["apart"]),
            helper.make_node("ReduceSumSquare", ["apart", "one"], ["squares"], keepdims=0),
        ],
        "body",
        [helper.make_tensor_value_info("all_in", kind, None), helper.make_tensor_value_info("row", kind, None)],
        [helper.make_tensor_value_info("all_out", kind, None), helper.make_tensor_value_info("squares", kind, None)],
        [numpy_helper.from_array(np.array([1], np.int64), "one")],
    )
    name = f"v{len(net.nodes)}"
    net.nodes.append(
        helper.make_node("Scan", [x, net.constant(rows)], [f"{name}_state", name], body=body, num_scan_inputs=1)
    )
    return net("Transpose", name, perm=[1, 0])


def rbf(net: Net, d: str) -> str:
    return net("Exp", net("Neg", net("Mul", d, 0.4)))


def absolute(net: Net, d: str) -> str:
    return net("Exp", net("Neg", net("Sqrt", d)))


def matern3(net: Net, d: str) -> str:
    k = net("Mul", net("Sqrt", d), ROOT3)
    return net("Mul", net("Add", k, 1.0), net("Exp", net("Neg", k)))


def matern5(net: Net, d: str) -> str:
    k = net("Mul", net("Sqrt", d), ROOT5)
    sums = net("Add", net("Add", k, 1.0), net("Div", net("Mul", k, k), 3.0))
    return net("Mul", sums, net("Exp", net("Neg", k)))


def quadratic(net: Net, d: str) -> str:
    return net("Pow", net("Add", net("Div", d, 3.0), 1.0), -1.5)


def inverse(net: Net, d: str) -> str:
    return net("Div", 1.0, net("Add", d, 1.0))


def both(net: Net, d: str) -> str:
    """A product with a constant, a sum of kernels of one distance, and noise that adds 0."""
    first = net("Mul", rbf(net, d), 2.0)
    return net("Add", net("Add", first, matern3(net, d)), np.zeros((1, J)))


KERNELS: dict[str, tuple[Callable[[Net, str], str], Callable[[Array], Array]]] = {
    "rbf": (rbf, lambda d: np.exp(-0.4 * d)),
    "matern 1/2": (absolute, lambda d: np.exp(-np.sqrt(d))),
    "matern 3/2": (matern3, lambda d: (1 + ROOT3 * np.sqrt(d)) * np.exp(-ROOT3 * np.sqrt(d))),
    "matern 5/2": (matern5, lambda d: (1 + ROOT5 * np.sqrt(d) + 5 * d / 3) * np.exp(-ROOT5 * np.sqrt(d))),
    "rational quadratic": (quadratic, lambda d: (1 + d / 3) ** -1.5),
    "inverse": (inverse, lambda d: 1 / (1 + d)),
    "sum": (both, lambda d: 2 * np.exp(-0.4 * d) + (1 + ROOT3 * np.sqrt(d)) * np.exp(-ROOT3 * np.sqrt(d))),
}


def rescaled(kernel: Callable[[Array], Array], x: Array, r: Array, u: Array = ROWS) -> Array:
    """`Σ_j α_j·(k_j(x) − k_j(r))·Δ_ij/Σ_i Δ_ij`, in extended precision; 0 where both distances are equal."""
    x, r, u = (v.astype(np.longdouble) for v in (x, r, u))
    delta = (r - u) ** 2 - (x[:, None] - u) ** 2
    total = delta.sum(-1)
    changed = kernel(((x[:, None] - u) ** 2).sum(-1)) - kernel(((r - u) ** 2).sum(-1))
    quotient = np.divide(changed, total, out=np.zeros_like(total), where=total != 0)
    return np.einsum("nj,njf,j->nf", quotient, delta, WEIGHTS[:, 0])


def explained(source: onnx.ModelProto, x: Array, runner: Callable = reference, **options) -> dict[str, Array]:
    """All outputs; the ledger closes, and the sum with what constants kept is the score."""
    converted = onnxlrp.convert(source, "lrp0", ledger=True, **options)
    assert sum(step.operator == "Kernel" for step in converted.plan.steps) == 1
    found = runner(converted.to_proto())({"x": x})
    table = found["relevance_ledger"].astype(np.float64)
    size = max(1.0, abs(table).max())
    tolerance = 1e-9 if x.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=tolerance * size)
    assert abs(found["y"].sum() - found["x_relevance"].sum() - table[:, 2:].sum()) < tolerance * size
    return found


def samples(r: Array) -> Array:
    """Rows by chance, one that is a row of the kernel, the reference itself and one far away."""
    return np.concatenate([X, ROWS[:1], r[None], r[None] + 1e4])


@pytest.mark.parametrize("name", KERNELS)
def test_kernel(name):
    """Against the rule in extended precision: 1e-9 in float64, and in float32 as far as its digits go."""
    write, kernel = KERNELS[name]
    r, net = ROWS.mean(0), Net()
    x = samples(r)
    found = explained(net.model(write(net, pairs(net))), x)
    expected = rescaled(kernel, x, r)
    np.testing.assert_allclose(found["x_relevance"], expected.astype(np.float64), atol=1e-9)
    single = Net(np.float32)
    converted = onnxlrp.convert(single.model(write(single, pairs(single))), "lrp0")
    report(converted.to_proto())
    found = onnxruntime(converted.to_proto())({"x": x.astype(np.float32)})
    np.testing.assert_allclose(found["x_relevance"], expected.astype(np.float64), atol=2e-5)


def expanded(net: Net, order: int) -> str:
    """`‖x‖² − 2·x·uᵀ + ‖u‖²`, in two orders, as one product of longer rows, and kept from 0."""
    own = net("ReduceSum", net("Mul", "x", "x"), net.constant([1], np.int64), keepdims=1)
    lengths = (ROWS**2).sum(1)
    if order == 0:
        return net("Max", net("Add", net("Sub", own, net("MatMul", net("Mul", "x", 2.0), ROWS.T)), lengths), 0.0)
    if order == 1:
        return net("Relu", net("Add", own, net("Gemm", "x", ROWS, lengths, alpha=-2.0, transB=1)))
    ones = net("Div", own, own)
    long = net("Concat", net("Mul", "x", -2.0), own, ones, axis=1)
    return net("Clip", net("MatMul", long, np.column_stack([ROWS, np.ones(J), lengths]).T), np.array(1e-12))


def rooted(net: Net) -> str:
    """The square of the norm of differences."""
    wide = net("Unsqueeze", "x", net.constant([1], np.int64))
    return net("Pow", net("ReduceL2", net("Sub", wide, ROWS), net.constant([2], np.int64), keepdims=0), 2.0)


SPELLINGS: dict[str, Callable[[Net], str]] = {
    "multiplied out": lambda net: expanded(net, 0),
    "a product and a bias": lambda net: expanded(net, 1),
    "one product": lambda net: expanded(net, 2),
    "norms": rooted,
    "scan": scanned,
    "squares": lambda net: pairs(net, square="ReduceSum"),
    "power": lambda net: pairs(net, square="Pow"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_distances(spelling):
    net = Net()
    found = explained(net.model(rbf(net, SPELLINGS[spelling](net))), X)
    np.testing.assert_allclose(found["x_relevance"], rescaled(KERNELS["rbf"][1], X, ROWS.mean(0)), atol=1e-9)


def test_length_scales_of_features():
    """Data and rows are divided alike; the reference is the mean of the divided rows."""
    net = Net()
    d = scanned(net, net("Div", "x", SCALES), ROWS / SCALES)
    found = explained(net.model(rbf(net, d)), X)
    expected = rescaled(KERNELS["rbf"][1], X / SCALES, ROWS.mean(0) / SCALES, ROWS / SCALES)
    np.testing.assert_allclose(found["x_relevance"], expected, atol=1e-9)


def test_products_of_kernels():
    """Of two length scales: each kernel's change counts with the mean of the other, which is Shapley's share."""
    net = Net()
    near, far = pairs(net), scanned(net, net("Div", "x", 2.0), ROWS / 2)
    found = explained(net.model(net("Mul", rbf(net, near), quadratic(net, far))), X)
    r, expected = ROWS.mean(0), np.zeros_like(X)
    first, second = (KERNELS[n][1] for n in ("rbf", "rational quadratic"))
    for kernel, other, scale, others in ((first, second, 1, 2), (second, first, 2, 1)):
        for j, u in enumerate(ROWS):
            means = (other(((X - u) ** 2).sum(1) / others**2) + other(((r - u) ** 2).sum() / others**2)) / 2
            delta = (r - u) ** 2 - (X - u) ** 2
            of_x, of_r = (((v - u) ** 2).sum(-1) / scale**2 for v in (X, r))
            part = (kernel(of_x) - kernel(of_r)) / delta.sum(1) * means
            expected += WEIGHTS[j] * part[:, None] * delta
    np.testing.assert_allclose(found["x_relevance"], expected, atol=1e-9)
    np.testing.assert_allclose(found["x_relevance"].sum(1), found["y"][:, 0] - base(first, second), atol=1e-9)


def base(first: Callable, second: Callable) -> float:
    """The score of the reference."""
    d = ((ROWS.mean(0) - ROWS) ** 2).sum(1)
    return float((first(d) * second(d / 4)) @ WEIGHTS[:, 0]) + BIAS


def test_a_kernel_counts_as_a_first_layer():
    """No composite gives its kernels flat shares, which would be divided by kernels near 0."""
    net = Net()
    found = onnxlrp.convert(net.model(rbf(net, pairs(net))), "epsilon_plus_flat")
    assert [str(step.rule) for step in found.plan.steps if step.operator == "MatMul+Add"] == ["Epsilon"]


def test_gradients_go_through_the_nodes():
    net = Net()
    converted = onnxlrp.convert(net.model(rbf(net, pairs(net))), "gradient")
    assert not any(step.operator == "Kernel" for step in converted.plan.steps)
    found = reference(converted.to_proto())({"x": X})["x_relevance"]
    d = X[:, None] - ROWS
    kernels = np.exp(-0.4 * (d**2).sum(-1))
    np.testing.assert_allclose(found, np.einsum("nj,njf,j->nf", -0.8 * kernels, d, WEIGHTS[:, 0]), atol=1e-9)


def unlike(net: Net) -> str:
    """Squares and a product that are no distance."""
    own = net("ReduceSum", net("Mul", "x", "x"), net.constant([1], np.int64), keepdims=1)
    return net("Add", own, net("Gemm", "x", ROWS, np.ones(J), alpha=-2.0, transB=1))


def not_kernels() -> Sequence[tuple[str, Callable[[Net], str]]]:
    return [
        ("a distance alone", lambda net: net("Sqrt", pairs(net))),
        ("squares less too much", lambda net: rbf(net, unlike(net))),
        ("an exponential of a product", lambda net: rbf(net, net("MatMul", "x", ROWS.T))),
        ("a sum with other data", lambda net: net("Add", pairs(net), net("MatMul", "x", ROWS.T))),
    ]


@pytest.mark.parametrize(("name", "write"), not_kernels())
def test_what_is_no_kernel(name, write):
    net = Net()
    plan = onnxlrp.inspect(net.model(write(net)), "lrp0")
    assert not any(step.operator == "Kernel" for step in plan.steps), name


def test_sum_with_a_product_of_rows():
    """A kernel beside a dot product: the kernel is one step, the product a layer."""
    net = Net()
    source = net.model(net("Add", rbf(net, pairs(net)), net("MatMul", "x", ROWS.T)))
    converted = onnxlrp.convert(source, "lrp0", ledger=True)
    found = reference(converted.to_proto())({"x": X})
    expected = rescaled(KERNELS["rbf"][1], X, ROWS.mean(0)) + X * (WEIGHTS[:, 0] @ ROWS)
    np.testing.assert_allclose(found["x_relevance"], expected, atol=1e-9)
