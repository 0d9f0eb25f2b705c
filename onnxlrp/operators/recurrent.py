"""RNN and GRU: the operators run unchanged, and a Scan carries relevance back through their steps.

One product recomputes the gates of all steps from the operator's own output, so that the Scan holds only what must go
from step to step. Shapes are those of `recurrent_cell`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import mean_of
from onnxlrp.operators.recurrent_activations import unknown
from onnxlrp.operators.recurrent_cell import (
    H0,
    B,
    Cell,
    R,
    W,
    X,
    gradients_of_operands,
    last_bias,
    relevance_of_operands,
    times,
)
from onnxlrp.operators.registry import Reversed, custom

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


@dataclasses.dataclass
class _Hidden:
    """Numbers by which relevance or a gradient goes one step back through a cell whose only state is h, for all steps.

    If dh arrives at h, and d = factor·dh, then the state before the step receives `around·(d·weight) + stays·dh`.
    """

    factor: ir.Value
    """Factors of dh, [T, D, N, copies·H]."""
    weight: ir.Value
    around: ir.Value | None = None
    stays: ir.Value | None = None
    copies: int = 1


def _back(cell: Cell, label: str, hidden: _Hidden) -> tuple[ir.Value, ir.Value]:
    """Carry relevance or gradients back through all steps; return those of the initial state and of each step's h."""

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        wide = dh if hidden.copies == 1 else op.Concat(*[dh] * hidden.copies, axis=-1)
        back = op.MatMul(op.Mul(wide, at["factor"]), hidden.weight)
        back = op.Mul(back, at["around"]) if "around" in at else back
        back = op.Add(back, op.Mul(dh, at["stays"])) if "stays" in at else back
        return [back], [dh]

    sequences = {"y": cell.at_output, "factor": hidden.factor, "around": hidden.around, "stays": hidden.stays}
    (first,), (every,) = cell.through(label, [cell.at_last(1)], sequences, body)
    return first, every


def _rnn_multiplier(op: Builder, call: Call, before: Call, g: Sequence[ir.Value | None]) -> Mapping[int, ir.Value]:
    cell, other = Cell(op, call, g), Cell(op, before, [])
    (a,), (a0,) = cell.sums(), other.sums()
    return _data(_rnn_gradient(cell, cell.functions[0].quotient(op, a, a0)))


def _rnn_gradient(cell: Cell, slope: ir.Value) -> Reversed:
    """Compute the gradient of h' = f(a) from the slope of f."""
    factor = cell.masked(slope)
    first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=cell.keep))
    d = cell.rows(cell.op.Mul(dh, factor))
    return gradients_of_operands(cell, d, d, {H0: first}, cell.to_weight(d, cell.rows(cell.before)))


def _data(back: Reversed) -> Mapping[int, ir.Value]:
    """Return what goes to the input and to the initial state, the operands that are no weights."""
    return {i: back.amounts[i] for i in (X, H0) if i in back.amounts}


@custom(
    "RNN",
    operands=lambda c: (X, W, R, B, H0),
    gradient_only=(W, R, B),
    per_output=True,
    refuse=unknown,
    multiplier=_rnn_multiplier,
)
def rnn(op: ReverseBuilder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Epsilon shares relevance among the terms of each step's sum Wx + Uh + biases."""
    cell = Cell(op, call, r)
    (f,) = cell.functions
    (a,) = cell.sums()
    if gradient:
        return _rnn_gradient(cell, f.slope(op, a, f.value(op, a)))
    factor = cell.masked(op.Reciprocal(op.stabilise(a)))
    first, dh = _back(cell, "relevance", _Hidden(factor, cell.r, cell.before, cell.keep))
    v = op.Mul(dh, factor)
    passed = op.Mul(v, a) if cell.keep is None else op.Add(op.Mul(v, a), op.Mul(cell.keep, dh))
    bias = [times(op, v, last_bias(cell, 0)), times(op, v, last_bias(cell, 1))]
    return relevance_of_operands(cell, v, cell.w, {H0: first}, bias, op.Sub(dh, passed))


@dataclasses.dataclass
class _Gru:
    """Gates z and r of a GRU, its candidate n and the candidate's sum a."""

    z: ir.Value
    r: ir.Value
    n: ir.Value
    a: ir.Value
    sums: list[ir.Value]
    """Sums of z and r, the arguments of their activations."""
    reset: ir.Value | None = None
    """The term of the candidate's sum that r multiplies; None unless linear_before_reset."""


def _gru_values(cell: Cell) -> _Gru:
    op, h = cell.op, cell.before
    f, g = cell.functions
    first, second = cell.biases
    from_x = cell.split(cell.product(cell.x_rows, cell.w, first, 3))
    if cell.call.attr("linear_before_reset", 0):
        from_h = cell.split(cell.product(cell.rows(h), cell.r, second, 3))
    else:
        gates = op.Concat(*cell.split(cell.r, 1)[:2], axis=1)
        bias = None if second is None else op.Concat(*cell.split(second)[:2], axis=-1)
        from_h = list(op.Split(cell.product(cell.rows(h), gates, bias, 2), axis=-1, num_outputs=2, _outputs=2))
    sums = [op.Add(x, s) for x, s in zip(from_x, from_h[:2], strict=False)]
    z, r = (f.value(op, s) for s in sums)
    if len(from_h) == 3:
        a = op.Add(from_x[2], op.Mul(r, from_h[2]))
        return _Gru(z, r, g.value(op, a), a, sums, from_h[2])
    a = op.Add(from_x[2], cell.product(cell.rows(op.Mul(r, h)), cell.split(cell.r, 1)[2], last_bias(cell, 1), 1))
    return _Gru(z, r, g.value(op, a), a, sums)


def _gru_multiplier(op: Builder, call: Call, before: Call, g: Sequence[ir.Value | None]) -> Mapping[int, ir.Value]:
    """The gradient with the means of all factors, and difference quotients of the activations."""
    cell, other = Cell(op, call, g), Cell(op, before, [])
    v, v0 = _gru_values(cell), _gru_values(other)
    gate, candidate = cell.functions
    z, r, n = (mean_of(op, a, b) for a, b in zip((v.z, v.r, v.n), (v0.z, v0.r, v0.n), strict=True))
    reset = None if v.reset is None or v0.reset is None else mean_of(op, v.reset, v0.reset)
    slopes = [gate.quotient(op, a, b) for a, b in zip(v.sums, v0.sums, strict=True)]
    slopes.append(candidate.quotient(op, v.a, v0.a))
    middle = dataclasses.replace(v, z=z, r=r, n=n, reset=reset)
    return _data(_gru_gradient(cell, middle, slopes, mean_of(op, cell.before, other.before)))


@custom(
    "GRU",
    operands=lambda c: (X, W, R, B, H0),
    gradient_only=(W, R, B),
    per_output=True,
    refuse=unknown,
    multiplier=_gru_multiplier,
)
def gru(op: ReverseBuilder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance skips the gates; Epsilon shares it between (1−z)·n and z·h, and the relevance of the candidate n
    between W·x and U·h."""
    cell = Cell(op, call, r)
    v = _gru_values(cell)
    if gradient:
        f, g = cell.functions
        slopes = [f.slope(op, s, y) for s, y in zip(v.sums, (v.z, v.r), strict=True)]
        return _gru_gradient(cell, v, [*slopes, g.slope(op, v.a, v.n)], cell.before)
    h, candidate = cell.before, op.Mul(op.Sub(1.0, v.z), v.n)
    s = op.stabilise(op.Add(candidate, op.Mul(v.z, h)))
    stays = cell.masked(op.Div(op.Mul(v.z, h), s), 1.0)
    factor = cell.masked(op.Div(op.Div(candidate, s), op.stabilise(v.a)))
    weight = cell.split(cell.r, 1)[2]
    if v.reset is None:
        hidden = _Hidden(factor, weight, op.Mul(v.r, h), stays)
    else:
        hidden = _Hidden(op.Mul(factor, v.r), weight, h, stays)
    first, dh = _back(cell, "relevance", hidden)
    share = op.Mul(dh, factor)
    absorbed = op.Sub(dh, op.Add(op.Mul(dh, stays), op.Mul(share, v.a)))
    reset = share if v.reset is None else op.Mul(share, v.r)
    bias = [times(op, share, last_bias(cell, 0)), times(op, reset, last_bias(cell, 1))]
    return relevance_of_operands(cell, share, cell.split(cell.w, 1)[2], {H0: first}, bias, absorbed)


def _gru_gradient(cell: Cell, v: _Gru, slopes: Sequence[ir.Value], h: ir.Value) -> Reversed:
    """Compute the gradient of h' = (1−z)·n + z·h from these values, h included, and the slopes of the activations of z,
    r and n."""
    op, (slope_z, slope_r, slope_a) = cell.op, slopes
    to_z = cell.masked(op.Mul(op.Sub(h, v.n), slope_z))
    to_a = cell.masked(op.Mul(op.Sub(1.0, v.z), slope_a))
    stays = cell.masked(v.z, 1.0)
    if v.reset is None:
        return _reset_first(cell, v, op.Mul(h, slope_r), to_z, to_a, stays)
    to_r = op.Mul(to_a, op.Mul(v.reset, slope_r))
    factor = op.Concat(to_z, to_r, op.Mul(to_a, v.r), axis=-1)
    first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=stays, copies=3))
    from_h = cell.rows(op.Mul(op.Concat(dh, dh, dh, axis=-1), factor))
    parts = [op.Mul(dh, to) for to in (to_z, to_r, to_a)]
    from_x = cell.rows(op.Concat(*parts, axis=-1))
    return gradients_of_operands(cell, from_x, from_h, {H0: first}, cell.to_weight(from_h, cell.rows(h)))


def _reset_first(cell: Cell, v: _Gru, to_r: ir.Value, to_z: ir.Value, to_a: ir.Value, stays: ir.Value) -> Reversed:
    """Compute the gradient of a GRU that applies the reset gate before the product with U: the gate's gradient then
    depends on that of the candidate within each step."""
    op = cell.op
    weight_z, weight_r, weight_n = cell.split(cell.r, 1)
    gates = op.Concat(weight_z, weight_r, axis=1)

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        da = op.Mul(dh, at["a"])
        reset = op.MatMul(da, weight_n)
        d = op.Concat(op.Mul(dh, at["z"]), op.Mul(reset, at["r"]), axis=-1)
        back = op.Add(op.Mul(dh, at["stays"]), op.Mul(reset, at["gate"]))
        return [op.Add(back, op.MatMul(d, gates))], [op.Concat(d, da, axis=-1)]

    sequences = {"y": cell.at_output, "z": to_z, "r": to_r, "a": to_a, "gate": v.r, "stays": stays}
    (first,), (every,) = cell.through("gradient", [cell.at_last(1)], sequences, body)
    d = cell.rows(every)
    *gate_rows, candidate = cell.split(d)
    h = cell.rows(cell.before)
    parts = [*(cell.to_weight(g, h) for g in gate_rows), cell.to_weight(candidate, cell.rows(op.Mul(v.r, cell.before)))]
    return gradients_of_operands(cell, d, d, {H0: first}, op.Concat(*parts, axis=1))
