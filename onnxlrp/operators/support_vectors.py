"""Support vector machines: relevance goes to the support vectors, and from each to the features that it compares."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx import TensorProto

from onnxlrp.graph.call import Call
from onnxlrp.operators.linear_models import rows
from onnxlrp.operators.post_transforms import has_transform, transform, transformed, two_classes
from onnxlrp.operators.registry import Reversed, custom, decomposed
from onnxlrp.operators.rescaled_kernels import Moved, gaussian
from onnxlrp.operators.shape_functions import class_labels, infer_targets, set_samples

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder

_ML = "ai.onnx.ml"


@dataclasses.dataclass(frozen=True)
class _Machine:
    """A machine of decision values `k(x, vectors) · weights + shift`, or without vectors `x · weights + shift`."""

    vectors: np.ndarray | None
    """The support vectors, [vectors, features]."""
    weights: np.ndarray
    """The weights, [vectors, decisions], or [features, decisions] without vectors."""
    shift: np.ndarray
    kernel: str
    gamma: float
    coef0: float
    degree: float

    @property
    def decisions(self) -> int:
        return len(self.shift)


def _floats(call: Call, name: str) -> np.ndarray:
    return np.asarray(call.attr(name, ()), np.float64)


def _machine(call: Call) -> _Machine:
    weights, rho = _floats(call, "coefficients"), _floats(call, "rho")
    gamma, coef0, degree = (*call.attr("kernel_params", ()), 0.0, 0.0, 0.0)[:3]
    classifier = call.op_type == "SVMClassifier"
    count = sum(call.ints("vectors_per_class", ())) if classifier else int(call.attr("n_supports", 0))
    if count == 0:
        weights = weights.reshape(class_count(call) if classifier else 1, -1).T
        return _Machine(None, weights, np.full(weights.shape[1], rho[0]), "LINEAR", 0.0, 0.0, 0.0)
    vectors = _floats(call, "support_vectors").reshape(count, -1)
    matrix = _of_pairs(weights, call.ints("vectors_per_class")) if classifier else weights.reshape(-1, 1)
    return _Machine(
        vectors,
        matrix,
        rho[: matrix.shape[1]],
        call.attr("kernel_type", "LINEAR"),
        float(gamma),
        float(coef0),
        float(degree),
    )


def class_count(call: Call) -> int:
    """Count the classes of a classifier."""
    return max(len(call.attr(name, ())) for name in ("classlabels_strings", "classlabels_ints"))


def _of_pairs(coefficients: np.ndarray, per_class: list[int]) -> np.ndarray:
    """Build the weights [vectors, pairs] of all pairs of classes i < j.

    In a pair, vectors of class i have the coefficients of row j − 1, and vectors of class j those of row i.
    """
    ends = np.cumsum(per_class)
    count, rows_of = len(per_class), coefficients.reshape(len(per_class) - 1, -1)
    own = [slice(end - size, end) for end, size in zip(ends, per_class, strict=True)]
    columns = []
    for i in range(count):
        for j in range(i + 1, count):
            column = np.zeros(rows_of.shape[1])
            column[own[i]], column[own[j]] = rows_of[j - 1, own[i]], rows_of[i, own[j]]
            columns.append(column)
    return np.stack(columns, axis=1)


def _compared(call: Call) -> np.ndarray | None:
    """Return the support vectors of an RBF kernel, whose relevance needs a reference; None for other kernels."""
    machine = _machine(call)
    return machine.vectors if machine.kernel == "RBF" else None


class _Kernel:
    """A machine, emitted into a graph for one input."""

    def __init__(self, op: Builder, machine: _Machine, x: ir.Value) -> None:
        self.op, self.machine, self.x = op, machine, x
        self.weights, self.shift = self._constant(machine.weights), self._constant(machine.shift)
        self.vectors = None if machine.vectors is None else self._constant(machine.vectors)
        self.kernels, self.products = x, x
        if machine.kernel == "RBF":
            apart = op.Sub(op.Unsqueeze(x, op.ints([1])), op.Unsqueeze(self.vectors, op.ints([0])))
            distances = op.ReduceSum(op.Mul(apart, apart), op.ints([2]), keepdims=0)
            self.kernels = op.Exp(op.Mul(-machine.gamma, distances))
        elif self.vectors is not None:
            dot = op.MatMul(x, op.Transpose(self.vectors, perm=[1, 0]))
            self.products = dot if machine.kernel == "LINEAR" else op.Add(op.Mul(machine.gamma, dot), machine.coef0)
            self.kernels = self._curved(self.products)

    def _constant(self, array: np.ndarray) -> ir.Value:
        return self.op.constant(array, self.x.dtype)

    def _curved(self, products: ir.Value) -> ir.Value:
        op, machine = self.op, self.machine
        if machine.kernel == "POLY":
            return op.Pow(products, op.number(machine.degree, products))
        return op.Tanh(products) if machine.kernel == "SIGMOID" else products

    def decisions(self) -> ir.Value:
        """Compute the decision values, [samples, decisions]."""
        return self.op.Add(self.op.MatMul(self.kernels, self.weights), self.shift)

    def _over_vectors(self, share: ir.Value) -> ir.Value:
        """Compute `Σ share · weight` over the decisions, [samples, vectors]."""
        return self.op.MatMul(share, self.op.Transpose(self.weights, perm=[1, 0]))

    def relevance(
        self, op: ReverseBuilder, share: ir.Value, reference: np.ndarray | None
    ) -> tuple[ir.Value, ir.Value | None, ir.Value | None]:
        """Compute the relevance of the features from factors of the decisions, and what ε and the kernel's constant
        absorb, None for nothing."""
        machine = self.machine
        over = self._over_vectors(share)
        if self.vectors is None:
            return op.Mul(self.x, over), None, None
        if machine.kernel == "LINEAR":
            return op.Mul(self.x, op.MatMul(over, self.vectors)), None, None
        if machine.kernel == "RBF":
            assert reference is not None
            moved = Moved.of(op, self.x, self.vectors, reference)
            quotient, at_reference = gaussian(op, moved, machine.gamma)
            absorbed = op.ReduceSum(op.Mul(over, at_reference), keepdims=0)
            return moved.share_out(op.Mul(over, quotient)), None, absorbed
        arrived = op.Mul(over, self.kernels)
        part = op.Div(arrived, op.stabilise(self.products))
        back = op.Mul(self.x, op.Mul(machine.gamma, op.MatMul(part, self.vectors)))
        absorbed = op.Sub(arrived, op.Mul(part, self.products))
        return back, op.ReduceSum(absorbed, keepdims=0), op.ReduceSum(op.Mul(part, machine.coef0), keepdims=0)

    def gradient(self, slopes: ir.Value) -> ir.Value:
        """Compute the gradient by the features from the gradient by the decisions."""
        op, machine = self.op, self.machine
        over = self._over_vectors(slopes)
        if self.vectors is None:
            return over
        if machine.kernel == "RBF":
            weighed = op.Mul(-2 * machine.gamma, op.Mul(over, self.kernels))
            total = op.ReduceSum(weighed, op.ints([1]), keepdims=1)
            return op.Sub(op.Mul(self.x, total), op.MatMul(weighed, self.vectors))
        if machine.kernel == "POLY":
            lower = op.Pow(self.products, op.number(machine.degree - 1, self.products))
            over = op.Mul(op.Mul(over, lower), machine.gamma * machine.degree)
        elif machine.kernel == "SIGMOID":
            over = op.Mul(op.Mul(over, op.Sub(1.0, op.Mul(self.kernels, self.kernels))), machine.gamma)
        return op.MatMul(over, self.vectors)


def _reverse(op: ReverseBuilder, call: Call, r: ir.Value, columns: np.ndarray, gradient: bool) -> Reversed:
    """Carry factors, or gradients, of the outputs back to x.

    `columns` [decisions, outputs] holds 1 where an output is a decision value and −1 where an output is the negative of
    one.
    """
    x, dtype = call.original[0], r.dtype
    assert x is not None and dtype is not None
    kernel = _Kernel(op, _machine(call), op.cast(rows(op, x), dtype))
    share = op.MatMul(r, op.Transpose(op.constant(columns, dtype), perm=[1, 0]))
    if gradient:
        return Reversed({0: op.Reshape(kernel.gradient(share), op.shape(x))})
    epsilon = None
    if call.attr("one_class", 0):
        share, epsilon = _through_sign(op, kernel.decisions(), share)
    back, absorbed, constant = kernel.relevance(op, share, _reference(call))
    bias = op.ReduceSum(op.Mul(share, kernel.shift), keepdims=0)
    return Reversed(
        {0: op.Reshape(back, op.shape(x))},
        epsilon=absorbed if epsilon is None else epsilon if absorbed is None else op.Add(absorbed, epsilon),
        bias=bias if constant is None else op.Add(bias, constant),
    )


def _reference(call: Call) -> np.ndarray | None:
    """Return the reference that the planner chose, or without a planner the mean of the vectors."""
    reference, vectors = call.attr("reference"), _machine(call).vectors
    if reference is not None:
        return reference.numpy()
    return None if vectors is None else vectors.mean(0)


def _base(call: Call) -> np.ndarray | None:
    """Compute the scores of the reference, or with a linear kernel the constant ρ, [1, outputs]; None where the
    constant of another kernel, or the sign of a one-class machine, takes a share that differs from sample to sample."""
    machine, reference = _machine(call), _reference(call)
    decisions = machine.shift
    if call.attr("one_class", 0) or machine.kernel not in ("LINEAR", "RBF"):
        return None
    if machine.kernel == "RBF":
        assert machine.vectors is not None and reference is not None
        distances = ((machine.vectors - reference.reshape(1, -1)) ** 2).sum(axis=1)
        decisions = decisions + np.exp(-machine.gamma * distances) @ machine.weights
    return (decisions @ _columns(call) if call.op_type == "SVMClassifier" else decisions)[None]


def _through_sign(op: ReverseBuilder, value: ir.Value, factor: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Pass the relevance of a value's sign to the value; return the value's factor and what ε absorbs."""
    sign = op.Where(op.Greater(value, 0.0), op.number(1.0, value), op.number(-1.0, value))
    arrived = op.Mul(factor, sign)
    share = op.Div(arrived, op.stabilise(value))
    return share, op.ReduceSum(op.Sub(arrived, op.Mul(share, value)), keepdims=0)


def _kernel_known(call: Call) -> str | None:
    kernel = call.attr("kernel_type", "LINEAR")
    return None if kernel in ("LINEAR", "POLY", "RBF", "SIGMOID") else f"its kernel {kernel!r} is none of ONNX's"


_KERNEL: dict[str, Any] = {"receives": "factor", "base": _base, "compares": _compared, "refuse": _kernel_known}


@custom("SVMRegressor", domain=_ML, inference=infer_targets(None), **_KERNEL)
def svm_regressor(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """For an RBF kernel, the change from a reference is shared by how much each feature changes the distance; for other
    kernels, relevance is shared in proportion to the contributions.

    `f = Σ a_j·k(x, u_j) + ρ` has relevance c·f, of which ρ keeps c·ρ. RBF, with a reference r, which keeps
    `c·Σ a_j·k_j(r)`: `R_i = Σ_j c·a_j·(k_j(x) − k_j(r))·Δ_ij/Σ_i Δ_ij` with `Δ_ij = (x_i − u_ij)² − (r_i − u_ij)²`.
    Polynomial and sigmoid, a layer under an activation: `R_i = Σ_j c·a_j·k_j·γ·x_i·u_ij/s(γ·x·u_j + c₀)`. Linear:
    `R_i = c·x_i·w_i`, exactly. `one_class` decides by the sign of f: relevance passes, the gradient is 0.
    """
    if gradient and call.attr("one_class", 0):
        r = op.Mul(r, 0.0)
    return _reverse(op, call, r, np.ones((1, 1)), gradient)


def _columns(call: Call) -> np.ndarray:
    """Build the matrix [decisions, outputs]; two classes have one decision value f and the scores −f and f."""
    decisions = _machine(call).decisions
    return np.array([[-1.0, 1.0]]) if decisions == 1 else np.eye(decisions)


def _pairwise(call: ir.Node | Call) -> bool:
    """Decide whether a classifier compares classes in pairs, by support vectors."""
    return "vectors_per_class" in call.attributes


def _probable(call: ir.Node | Call) -> bool:
    return _pairwise(call) and "prob_a" in call.attributes


def _infer_machine(context: Any) -> None:
    """Infer labels and scores: one score for each pair of classes, or one for each class if the scores are
    probabilities or there are no support vectors."""
    count, label = class_labels(context)
    probable = context.get_attribute("prob_a")
    pairs = context.get_attribute("vectors_per_class") is not None and (probable is None or not probable.floats)
    set_samples(context, 0, label)
    set_samples(context, 1, TensorProto.FLOAT, count * (count - 1) // 2 if pairs and count > 2 else count)


@custom("SVMClassifier", domain=_ML, per_output=True, inference=_infer_machine, **_KERNEL)
def svm_classifier(op: ReverseBuilder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance goes through the decision value of each pair of classes, as for a regressor; probabilities become
    log-odds."""
    scores = r[1]
    assert scores is not None, "a label carries no relevance"
    return _reverse(op, call, scores, _columns(call), gradient)


def _log_odds(op: Builder, call: Call) -> ir.Value:
    """Compute the scores that are explained in place of the classes' probabilities, because the probabilities couple
    all pairs by an iteration.

    The score of a class is a sum of log-odds over its pairs: `−(A·f + B)` with the pair's decision value f where the
    class is the first of the pair, and the negative of that where the class is the second.
    """
    count = class_count(call)
    # This is the model's own operator once more, so it does not get the label of a relevance node.
    op.label("")
    machine = op.run(call.variant(without=("prob_a", "prob_b", "post_transform")), outputs=2)[1]
    op.label("score")
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    # With two classes, the second column is the decision value.
    slope = np.zeros((2 if count == 2 else len(pairs), count), np.float32)
    shift = np.zeros(count, np.float32)
    for index, (i, j) in enumerate(pairs):
        a, b = call.attr("prob_a")[index], call.attr("prob_b")[index]
        row = 1 if count == 2 else index
        slope[row, i], slope[row, j] = -a, a
        shift[i], shift[j] = shift[i] - b, shift[j] + b
    return op.Gemm(machine, op.constant(slope), op.constant(shift))


@custom(
    "SVMClassifier",
    domain=_ML,
    when=_probable,
    per_output=True,
    head=_log_odds,
    inference=_infer_machine,
    refuse=lambda call: "an iteration couples its probabilities: only the scores before them can be explained",
)
def probable_svm(op: Builder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """The log-odds of each class are explained in place of its probability."""
    raise NotImplementedError


def _refused_transform(call: Call) -> str | None:
    single = _pairwise(call) and class_count(call) == 2 and transform(call) == "PROBIT"
    return "PROBIT of one score for two classes" if single else _kernel_known(call)


def _transformed(call: ir.Node | Call) -> bool:
    return has_transform(call) and not _probable(call)


@decomposed("SVMClassifier", domain=_ML, when=_transformed, refuse=_refused_transform, inference=_infer_machine)
def transformed_svm(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: the post-transform of the scores; the label is the operator's own."""
    label, scores = op.run(call.variant(without=("post_transform",)), outputs=2)
    count, kind = class_count(call), transform(call)
    if _pairwise(call) and count == 2:
        return [label, two_classes(op, op.Slice(scores, op.ints([1]), op.ints([2]), op.ints([1])), kind)]
    return [label, transformed(op, scores, kind, count)]
