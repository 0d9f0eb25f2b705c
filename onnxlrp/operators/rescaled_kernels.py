"""Kernels, functions of squared distances between rows of data and constant rows, explained against a reference.

A kernel falls with distance, so a feature raises it where x is nearer to a row than the reference r is. The kernel's
change from r to x is shared in proportion to each feature's change of the squared distance:
`R_i = Σ_j c_j·(k_j(x) − k_j(r))·Δ_ij/Σ_i Δ_ij` with `Δ_ij = (x_i − u_ij)² − (r_i − u_ij)²`, where c_j is the factor of
the kernel's relevance c_j·k_j(x). The rest, `c_j·k_j(r)`, belongs to the reference and goes to the ledger's bias. The
quotient of the two changes is computed forward through the kernel's nodes, so that nothing is divided by 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.quotients import exp_quotient, log_quotient, pow_quotient, reciprocal_quotient, sqrt_quotient
from onnxlrp.operators.registry import Kind, Operator, Reversed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Distance:
    """Distances between rows of data and constant rows, squared or not."""

    value: ir.Value
    """The distances, [samples, rows]."""
    x: ir.Value
    """The data, [samples, features]."""
    rows: ir.Value | np.ndarray
    """The constant rows, [rows, features] or [1, rows, features]."""
    root: bool = False
    """True where the value is the root of the squared distance."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A value that is an elementwise function of distances and constants."""

    end: ir.Value
    distances: tuple[Distance, ...]
    nodes: tuple[ir.Node, ...]
    """The nodes from the distances to the end, in topological order."""


@dataclasses.dataclass(frozen=True)
class Moved:
    """Data and rows relative to a reference r, from which each feature's change of the squared distances follows.

    `(x − u)² − (r − u)² = x'·(x' − 2u')` with `x' = x − r` and `u' = u − r`, so matrix products suffice.
    """

    op: Builder
    x: ir.Value
    """The difference x − r, [samples, features]."""
    rows: ir.Value
    """The difference u − r, [rows, features]."""

    @classmethod
    def of(cls, op: Builder, x: ir.Value, rows: ir.Value | np.ndarray, reference: np.ndarray) -> Moved:
        """Subtract a reference [features] from data and rows."""
        r = op.constant(np.reshape(reference, (1, -1)), x.dtype)
        assert x.dtype is not None
        rows = op.constant(rows, x.dtype) if isinstance(rows, np.ndarray) else op.cast(rows, x.dtype)
        rows = rows if len(op.dims(rows)) == 2 else op.Squeeze(rows, op.ints([0]))
        return cls(op, op.Sub(x, r), op.Sub(rows, r))

    def at_reference(self) -> ir.Value:
        """Compute the squared distances of the reference to the rows, [1, rows]."""
        op = self.op
        return op.Unsqueeze(op.ReduceSum(op.Mul(self.rows, self.rows), op.ints([1]), keepdims=0), op.ints([0]))

    def change(self) -> ir.Value:
        """Compute the squared distances of x minus those of the reference, [samples, rows]."""
        op = self.op
        own = op.ReduceSum(op.Mul(self.x, self.x), op.ints([1]), keepdims=1)
        return op.Sub(own, op.Mul(op.MatMul(self.x, op.Transpose(self.rows, perm=[1, 0])), 2.0))

    def share_out(self, weights: ir.Value) -> ir.Value:
        """Compute `Σ_j w_j·x'·(x' − 2u'_j)`, [samples, features], for weights w [samples, rows]."""
        op = self.op
        total = op.ReduceSum(weights, op.ints([1]), keepdims=1)
        return op.Mul(self.x, op.Sub(op.Mul(self.x, total), op.Mul(op.MatMul(weights, self.rows), 2.0)))


def gaussian(op: Builder, moved: Moved, gamma: float) -> tuple[ir.Value, ir.Value]:
    """Return the change of `e^{−γ·d²}` divided by the change of d², [samples, rows], and the kernel at the
    reference."""
    base, change = moved.at_reference(), moved.change()
    distances = op.Max(op.Add(base, change), op.number(0.0, change))
    a, b, difference = (op.Mul(v, -gamma) for v in (distances, base, change))
    return op.Mul(exp_quotient(op, a, b, difference), -gamma), op.Exp(b)


# ------------------------------------------------------------------------------------------------ a kernel written out


@dataclasses.dataclass
class _Point:
    """A value at x and at the reference, and its change divided by the change of each distance that it depends on."""

    x: ir.Value
    r: ir.Value
    quotients: dict[int, ir.Value | None] = dataclasses.field(default_factory=dict)
    """Quotients, each by the index of its distance; None stands for 1."""

    @property
    def constant(self) -> bool:
        return not self.quotients


def _times(op: Builder, quotients: Mapping[int, ir.Value | None], factor: ir.Value) -> dict[int, ir.Value | None]:
    return {i: factor if q is None else op.Mul(q, factor) for i, q in quotients.items()}


def _plus(
    op: Builder, a: Mapping[int, ir.Value | None], b: Mapping[int, ir.Value | None], like: ir.Value
) -> dict[int, ir.Value | None]:
    one = op.number(1.0, like)
    pairs = {i: [one if q is None else q for q in (a[i], b[i])] for i in a.keys() & b.keys()}
    return {**a, **b, **{i: op.Add(*pair) for i, pair in pairs.items()}}


def _mean(op: Builder, point: _Point) -> ir.Value:
    return point.x if point.constant else op.Mul(op.Add(point.x, point.r), 0.5)


def _sum(op: Builder, points: Sequence[_Point]) -> dict[int, ir.Value | None]:
    total: dict[int, ir.Value | None] = {}
    for point in points:
        total = _plus(op, total, point.quotients, point.x)
    return total


def _negative(op: Builder, point: _Point) -> dict[int, ir.Value | None]:
    return _times(op, point.quotients, op.number(-1.0, point.x))


def _product(op: Builder, first: _Point, second: _Point) -> dict[int, ir.Value | None]:
    """Compute the quotients of a·b: those of a times the mean of b, plus those of b times the mean of a."""
    sides = [_times(op, p.quotients, _mean(op, q)) for p, q in ((first, second), (second, first)) if not p.constant]
    return _plus(op, sides[0], sides[-1], first.x) if len(sides) == 2 else sides[0]


def _inverse(op: Builder, point: _Point) -> _Point:
    if point.constant:
        return _Point(op.Reciprocal(point.x), op.Reciprocal(point.r))
    quotients = _times(op, point.quotients, reciprocal_quotient(op, point.x, point.r))
    return _Point(op.Reciprocal(point.x), op.Reciprocal(point.r), quotients)


def _power(op: Builder, base: _Point, exponent: _Point) -> dict[int, ir.Value | None]:
    number = content(exponent.x)
    assert number is not None
    return _times(op, base.quotients, pow_quotient(op, base.x, base.r, float(number.reshape(-1)[0])))


_QUOTIENTS: dict[str, Callable[..., dict[int, ir.Value | None]]] = {
    "Identity": lambda op, a: a.quotients,
    "Cast": lambda op, a: a.quotients,
    "Neg": _negative,
    "Add": lambda op, *points: _sum(op, points),
    "Sum": lambda op, *points: _sum(op, points),
    "Sub": lambda op, a, b: _plus(op, a.quotients, _negative(op, b), a.x),
    "Mul": _product,
    "Div": lambda op, a, b: _product(op, a, _inverse(op, b)),
    "Reciprocal": lambda op, a: _inverse(op, a).quotients,
    "Exp": lambda op, a: _times(op, a.quotients, exp_quotient(op, a.x, a.r)),
    "Log": lambda op, a: _times(op, a.quotients, log_quotient(op, a.x, a.r)),
    "Sqrt": lambda op, a: _times(op, a.quotients, sqrt_quotient(op, a.x, a.r)),
    "Pow": _power,
}
"""Functions that compute the quotients of an output (see `_Point`) from its operands, by operator type."""


def has_quotient(node: ir.Node, data: Sequence[int]) -> bool:
    """Decide whether the change of a node's output follows from the changes of its data operands."""
    if node.domain != "" or node.op_type not in _QUOTIENTS:
        return False
    if node.op_type == "Pow":
        number = content(node.inputs[1])
        return list(data) == [0] and number is not None and number.size == 1
    return True


class _Evaluation:
    """Evaluation of a kernel's nodes at the reference, next to the model's own values at x."""

    def __init__(self, op: Builder, kernel: Kernel, dtype: ir.DataType, references: Sequence[np.ndarray]) -> None:
        self.op, self.dtype = op, dtype
        self.points: dict[ir.Value, _Point] = {}
        self.moved: list[Moved] = []
        for i, distance in enumerate(kernel.distances):
            moved = Moved.of(op, self._read(distance.x), distance.rows, references[i])
            self.moved.append(moved)
            self.points[distance.value] = self._start(i, distance)
        for node in kernel.nodes:
            self._step(node)

    def _start(self, index: int, distance: Distance) -> _Point:
        """Begin at a squared distance, whose quotient is 1, or at its root, whose quotient is `1/(√a + √b)`, with the
        squared distances a at x and b at the reference."""
        op, x, base = self.op, self._read(distance.value), self.moved[index].at_reference()
        if not distance.root:
            return _Point(x, base, {index: None})
        return _Point(x, op.Sqrt(base), {index: sqrt_quotient(op, op.Mul(x, x), base)})

    def _read(self, value: ir.Value) -> ir.Value:
        return self.op.cast(value, self.dtype)

    def _point(self, value: ir.Value) -> _Point:
        if value in self.points:
            return self.points[value]
        floating = value.dtype is not None and value.dtype.is_floating_point() and value.dtype != self.dtype
        constant = self._constant(value) if floating else value
        return _Point(constant, constant)

    def _constant(self, value: ir.Value) -> ir.Value:
        known = content(value)
        return self._read(value) if known is None else self.op.constant(known, self.dtype)

    def _step(self, node: ir.Node) -> None:
        op = self.op
        operands = [self._point(v) for v in node.inputs if v is not None]
        if node.op_type in ("Identity", "Cast"):
            at_r = operands[0].r
        else:
            at_r = op.run(Call.of(node).rebind({i: p.r for i, p in enumerate(operands)}))
        point = _Point(self._read(node.outputs[0]), at_r, _QUOTIENTS[node.op_type](op, *operands))
        products = node.op_type in ("Mul", "Div") and not any(p.constant for p in operands)
        if products and len(point.quotients) == 1:
            point.quotients = {i: self._apart(i, point, q) for i, q in point.quotients.items()}
        self.points[node.outputs[0]] = point

    def _apart(self, index: int, point: _Point, quotient: ir.Value | None) -> ir.Value:
        """Use the plain quotient where a product's values at x and at the reference are far apart, because there the
        two terms of `_product` cancel, as for a polynomial times an exponential."""
        op, change = self.op, self.moved[index].change()
        moved = op.Sub(point.x, point.r)
        largest = op.Max(op.Abs(point.x), op.Abs(point.r))
        apart = op.And(op.Greater(op.Abs(moved), op.Mul(largest, 0.25)), op.Not(op.Equal(change, 0.0)))
        plain = op.Div(moved, op.Where(apart, change, op.number(1.0, change)))
        return op.Where(apart, plain, op.number(1.0, change) if quotient is None else quotient)


def kernel_step(
    kernel: Kernel, references: Sequence[np.ndarray], base: np.ndarray | None = None
) -> tuple[Call, Operator]:
    """Return a kernel as one call on its data, and the entry that reverses it, given a reference for each distance.

    `base` is the kernel at the references, [1, rows]; None where it is not known.
    """
    xs = tuple(d.x for d in kernel.distances)

    def reverse(op: Builder, call: Call, c: ir.Value, gradient: bool) -> Reversed:
        assert not gradient, "gradients go through the kernel's own nodes"
        assert c.dtype is not None
        evaluation = _Evaluation(op, kernel, c.dtype, references)
        end = evaluation.points[kernel.end]
        amounts = {}
        for i, moved in enumerate(evaluation.moved):
            quotient = end.quotients[i]
            amounts[i] = moved.share_out(c if quotient is None else op.Mul(c, quotient))
        return Reversed(amounts, bias=op.Mul(c, end.r))

    node = kernel.end.producer()
    call = Call("Kernel", "", None, {}, xs, (kernel.end,), None if node is None else node.name, xs)
    entry = Operator(
        "Kernel",
        "",
        Kind.CUSTOM,
        reverse,
        lambda c: range(len(xs)),
        _SUMMARY,
        receives="factor",
        base=lambda c: base,
    )
    return call, entry


_SUMMARY = "Shares a written-out kernel's change from a reference by what each feature changes of the distance"
