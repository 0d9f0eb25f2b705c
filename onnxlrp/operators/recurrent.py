"""RNN and GRU. The operators run as they are; gates are computed again, for all steps in one product, from their own
output; one Scan goes back through the steps and holds nothing but what must go from step to step. Shapes as in
`recurrent_cell`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.recurrent_activations import unknown
from onnxlrp.operators.recurrent_cell import H0, B, Cell, R, W, X, gradients, last_bias, shared, times
from onnxlrp.operators.registry import Reversed, custom

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


@dataclasses.dataclass
class _Hidden:
    """One step back of a cell whose only state is h: `d = factor·dh` goes through the state's weight, `r` goes on as
    `around·(d·weight) + stays·dh`."""

    factor: ir.Value
    """[T, D, N, k·H]: of each of k copies of what arrives."""
    weight: ir.Value
    around: ir.Value | None = None
    stays: ir.Value | None = None
    copies: int = 1


def _back(cell: Cell, label: str, hidden: _Hidden) -> tuple[ir.Value, ir.Value]:
    """(what arrives at the initial state, what arrives at each step)."""

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


@custom("RNN", operands=lambda c: (X, W, R, B, H0), gradient_only=(W, R, B), per_output=True, refuse=unknown)
def rnn(op: ReverseBuilder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Each step's sum Wx + Uh + biases in proportion to the contributions (Epsilon)."""
    cell = Cell(op, call, r)
    (f,) = cell.functions
    (a,) = cell.sums()
    if gradient:
        factor = cell.masked(f.slope(op, a, f.value(op, a)))
        first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=cell.keep))
        d = cell.rows(op.Mul(dh, factor))
        return gradients(cell, d, d, {H0: first}, cell.to_weight(d, cell.rows(cell.before)))
    factor = cell.masked(op.Reciprocal(op.stabilise(a)))
    first, dh = _back(cell, "relevance", _Hidden(factor, cell.r, cell.before, cell.keep))
    v = op.Mul(dh, factor)
    passed = op.Mul(v, a) if cell.keep is None else op.Add(op.Mul(v, a), op.Mul(cell.keep, dh))
    bias = [times(op, v, last_bias(cell, 0)), times(op, v, last_bias(cell, 1))]
    return shared(cell, v, cell.w, {H0: first}, bias, op.Sub(dh, passed))


@dataclasses.dataclass
class _Gru:
    """A GRU's gates z and r, candidate n of its sum a, and with linear_before_reset what r resets."""

    z: ir.Value
    r: ir.Value
    n: ir.Value
    a: ir.Value
    sums: list[ir.Value]
    """Of z and r."""
    reset: ir.Value | None = None


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


@custom("GRU", operands=lambda c: (X, W, R, B, H0), gradient_only=(W, R, B), per_output=True, refuse=unknown)
def gru(op: ReverseBuilder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Gates get none; h shares between (1−z)·n and z·h, the candidate's sum between Wx and Uh (Epsilon)."""
    cell = Cell(op, call, r)
    v = _gru_values(cell)
    if gradient:
        return _gru_gradient(cell, v)
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
    kept = op.Sub(dh, op.Add(op.Mul(dh, stays), op.Mul(share, v.a)))
    reset = share if v.reset is None else op.Mul(share, v.r)
    bias = [times(op, share, last_bias(cell, 0)), times(op, reset, last_bias(cell, 1))]
    return shared(cell, share, cell.split(cell.w, 1)[2], {H0: first}, bias, kept)


def _gru_gradient(cell: Cell, v: _Gru) -> Reversed:
    """Of h' = (1−z)·n + z·h."""
    op, h = cell.op, cell.before
    f, g = cell.functions
    slope_z, slope_r = (f.slope(op, s, y) for s, y in zip(v.sums, (v.z, v.r), strict=True))
    to_z = cell.masked(op.Mul(op.Sub(h, v.n), slope_z))
    to_a = cell.masked(op.Mul(op.Sub(1.0, v.z), g.slope(op, v.a, v.n)))
    stays = cell.masked(v.z, 1.0)
    if v.reset is None:
        return _reset_first(cell, v, op.Mul(h, slope_r), to_z, to_a, stays)
    to_r = op.Mul(to_a, op.Mul(v.reset, slope_r))
    factor = op.Concat(to_z, to_r, op.Mul(to_a, v.r), axis=-1)
    first, dh = _back(cell, "gradient", _Hidden(factor, cell.r, stays=stays, copies=3))
    from_h = cell.rows(op.Mul(op.Concat(dh, dh, dh, axis=-1), factor))
    parts = [op.Mul(dh, to) for to in (to_z, to_r, to_a)]
    from_x = cell.rows(op.Concat(*parts, axis=-1))
    return gradients(cell, from_x, from_h, {H0: first}, cell.to_weight(from_h, cell.rows(h)))


def _reset_first(cell: Cell, v: _Gru, to_r: ir.Value, to_z: ir.Value, to_a: ir.Value, stays: ir.Value) -> Reversed:
    """The reset gate before the product: what comes through it depends on the candidate's way back."""
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
    return gradients(cell, d, d, {H0: first}, op.Concat(*parts, axis=1))
