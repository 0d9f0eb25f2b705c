"""LSTM: the operator runs unchanged, and a Scan carries relevance back through its steps.

One product recomputes the gates of all steps from the operator's own output, so that the Scan holds only what must go
from step to step. Shapes are those of `recurrent_cell`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import mean_of
from onnxlrp.operators.recurrent_activations import Activation, unknown
from onnxlrp.operators.recurrent_cell import (
    C0,
    H0,
    B,
    Cell,
    P,
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
class _Lstm:
    """Gates of an LSTM and their sums (peepholes included), and the cell state after (c) and before each step."""

    sums: dict[str, ir.Value]
    i: ir.Value
    f: ir.Value
    g: ir.Value
    c: ir.Value
    before: ir.Value
    peepholes: dict[str, ir.Value]


def _lstm_values(cell: Cell) -> _Lstm:
    op, call = cell.op, cell.call
    gate, g, _ = cell.functions
    sums = dict(zip("iofg", cell.sums(), strict=True))
    p = call.input(P)
    parts = [] if p is None else op.Split(p, axis=1, num_outputs=3, _outputs=3)
    peepholes = {k: op.Unsqueeze(v, op.ints([1])) for k, v in zip("iof", parts, strict=False)}
    c0 = cell.state(call.input(C0))
    new = g.value(op, sums["g"])
    if not peepholes:
        i = gate.value(op, sums["i"])
        f = op.Sub(1.0, i) if call.attr("input_forget", 0) else gate.value(op, sums["f"])
        sequences = {"kept": cell.masked(f, 1.0), "added": cell.masked(op.Mul(i, new))}
        c = _states(cell, sequences, c0, lambda op, c, at: op.Add(op.Mul(at["kept"], c), at["added"]))
        return _Lstm(sums, i, f, new, c, cell.shifted(c, c0), peepholes)

    def step(op: Builder, c: ir.Value, at: Mapping[str, ir.Value]) -> ir.Value:
        i, f = _peeping(op, cell, at, c, peepholes)
        after = op.Add(op.Mul(f, c), op.Mul(i, at["g"]))
        return op.Where(at["mask"], after, c) if "mask" in at else after

    c = _states(cell, {"i": sums["i"], "f": sums["f"], "g": new, "mask": cell.mask}, c0, step)
    before = cell.shifted(c, c0)
    i, f = _peeping(op, cell, sums, before, peepholes)
    seen = {"i": before, "o": c, "f": before}
    sums |= {k: op.Add(sums[k], op.Mul(peepholes[k], v)) for k, v in seen.items()}
    return _Lstm(sums, i, f, new, c, before, peepholes)


def _peeping(
    op: Builder, cell: Cell, sums: Mapping[str, ir.Value], c: ir.Value, peepholes: Mapping[str, ir.Value]
) -> tuple[ir.Value, ir.Value]:
    """Compute the gates i and f, which see the cell state through peepholes."""
    gate = cell.functions[0]
    i = gate.value(op, op.Add(sums["i"], op.Mul(peepholes["i"], c)))
    if cell.call.attr("input_forget", 0):
        return i, op.Sub(1.0, i)
    return i, gate.value(op, op.Add(sums["f"], op.Mul(peepholes["f"], c)))


def _states(cell: Cell, sequences: Mapping[str, ir.Value | None], c0: ir.Value, step: Callable) -> ir.Value:
    """Compute the cell state after each step, a sequence, by a Scan that runs in the operator's own order."""

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        after = step(op, states[0], at)
        return [after], [after]

    in_time = {k: None if v is None else cell.flip(v) for k, v in sequences.items()}
    _, (c,) = cell.through("cell states", [c0], in_time, body)
    return cell.flip(c)


def _multiplier(op: Builder, call: Call, before: Call, g: Sequence[ir.Value | None]) -> Mapping[int, ir.Value]:
    """The gradient with the means of all factors, and difference quotients of the activations."""
    cell, other = Cell(op, call, g), Cell(op, before, [])
    v, v0 = _lstm_values(cell), _lstm_values(other)
    gate, candidate, squash = _activations(cell)
    pairs = zip(_factors(cell, v), _factors(other, v0), strict=True)
    middle = _Factors(*(mean_of(op, a, b) for a, b in pairs))
    functions = {"i": gate, "o": gate, "f": gate, "g": candidate}
    slopes = {k: f.quotient(op, v.sums[k], v0.sums[k]) for k, f in functions.items()}
    slopes["c"] = squash.quotient(op, v.c, v0.c)
    back = _lstm_gradient(cell, v, middle, slopes)
    return {i: back.amounts[i] for i in (X, H0, C0) if i in back.amounts}


@custom(
    "LSTM",
    operands=lambda c: (X, W, R, B, H0, C0, P),
    gradient_only=(W, R, B, P),
    per_output=True,
    refuse=unknown,
    multiplier=_multiplier,
)
def lstm(op: ReverseBuilder, call: Call, r: Sequence[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance skips the gates; Epsilon shares it between f·c and i·g, and that of the candidate between Wx and Uh.

    Arras et al. 2017. From h = o·tanh(c) relevance passes to c.
    """
    cell = Cell(op, call, r)
    v = _lstm_values(cell)
    if gradient:
        return _lstm_gradient(cell, v, *_at_one_point(cell, v))
    a, s = v.sums["g"], op.stabilise(v.c)
    stays = cell.masked(op.Div(op.Mul(v.f, v.before), s), 1.0)
    factor = cell.masked(op.Div(op.Div(op.Mul(v.i, v.g), s), op.stabilise(a)))
    counts = None if cell.mask is None else op.Sub(1.0, cell.keep)
    weight, around = cell.split(cell.r, 1)[3], cell.before

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        dc = op.Add(states[1], op.Mul(dh, at["counts"]) if "counts" in at else dh)
        back = op.Mul(at["around"], op.MatMul(op.Mul(dc, at["factor"]), weight))
        back = op.Add(back, op.Mul(dh, at["keep"])) if "keep" in at else back
        return [back, op.Mul(dc, at["stays"])], [dc]

    sequences = {"y": cell.at_output, "stays": stays, "factor": factor, "around": around}
    sequences |= {"counts": counts, "keep": cell.keep}
    first, (dc,) = cell.through("relevance", [cell.at_last(1), cell.at_last(2)], sequences, body)
    share = op.Mul(dc, factor)
    absorbed = op.Sub(dc, op.Add(op.Mul(dc, stays), op.Mul(share, a)))
    bias = [times(op, share, last_bias(cell, side)) for side in (0, 1)]
    return relevance_of_operands(
        cell, share, cell.split(cell.w, 1)[3], dict(zip((H0, C0), first, strict=True)), bias, absorbed
    )


class _Factors(NamedTuple):
    """The factors of the products in an LSTM: the gates, the candidate, the cell state before each step, and the
    activation of the one after it."""

    o: ir.Value
    squashed: ir.Value
    i: ir.Value
    f: ir.Value
    g: ir.Value
    before: ir.Value


def _activations(cell: Cell) -> list[Activation]:
    """The activations of gates, candidate and output; onnxruntime clips the operands of the first two, not the cell
    state."""
    gate, candidate, squash = cell.functions
    return [gate, candidate, dataclasses.replace(squash, clip=None)]


def _factors(cell: Cell, v: _Lstm) -> _Factors:
    gate, _, squash = _activations(cell)
    o, squashed = gate.value(cell.op, v.sums["o"]), squash.value(cell.op, v.c)
    return _Factors(o, squashed, v.i, v.f, v.g, v.before)


def _at_one_point(cell: Cell, v: _Lstm) -> tuple[_Factors, dict[str, ir.Value]]:
    """Compute the factors, and the derivatives of the activations of all gates and of the cell state "c"."""
    op, (gate, candidate, squash), factors = cell.op, _activations(cell), _factors(cell, v)
    values = {"i": v.i, "o": factors.o, "f": v.f}
    slopes = {k: gate.slope(op, v.sums[k], y) for k, y in values.items()}
    return factors, slopes | {"g": candidate.slope(op, v.sums["g"], v.g), "c": squash.slope(op, v.c, factors.squashed)}


def _lstm_gradient(cell: Cell, v: _Lstm, factors: _Factors, slopes: Mapping[str, ir.Value]) -> Reversed:
    """Compute the gradient of c' = f·c + i·g and h = o·h(c'), where h(·) is the output activation, from the factors of
    the products and the slopes of the activations."""
    op, call = cell.op, cell.call
    to_o = cell.masked(op.Mul(factors.squashed, slopes["o"]))
    to_g = cell.masked(op.Mul(factors.i, slopes["g"]))
    if call.attr("input_forget", 0):
        to_i = cell.masked(op.Mul(op.Sub(factors.g, factors.before), slopes["i"]))
        to_f = op.Mul(to_i, 0.0)
    else:
        to_i = cell.masked(op.Mul(factors.g, slopes["i"]))
        to_f = cell.masked(op.Mul(factors.before, slopes["f"]))
    through = op.Mul(factors.o, slopes["c"])
    stays = factors.f
    if v.peepholes:
        through = op.Add(through, op.Mul(to_o, v.peepholes["o"]))
        seen = op.Add(op.Mul(to_i, v.peepholes["i"]), op.Mul(to_f, v.peepholes["f"]))
        stays = op.Add(stays, seen)
    through, stays = cell.masked(through), cell.masked(stays, 1.0)
    factor = op.Concat(to_i, to_o, to_f, to_g, axis=-1)

    def body(op: Builder, states: Sequence[ir.Value], at: Mapping[str, ir.Value]):  # type: ignore[no-untyped-def]
        dh = op.Add(states[0], at["y"]) if "y" in at else states[0]
        dc = op.Add(states[1], op.Mul(dh, at["through"]))
        d = op.Mul(op.Concat(dc, dh, dc, dc, axis=-1), at["factor"])
        back = op.MatMul(d, cell.r)
        back = op.Add(back, op.Mul(dh, at["keep"])) if "keep" in at else back
        return [back, op.Mul(dc, at["stays"])], [d]

    sequences = {"y": cell.at_output, "through": through, "factor": factor, "stays": stays, "keep": cell.keep}
    first, (every,) = cell.through("gradient", [cell.at_last(1), cell.at_last(2)], sequences, body)
    d = cell.rows(every)
    reversed_lstm = gradients_of_operands(
        cell, d, d, dict(zip((H0, C0), first, strict=True)), cell.to_weight(d, cell.rows(cell.before))
    )
    if v.peepholes:
        reversed_lstm.amounts[P] = _to_peepholes(cell, d, v)
    return reversed_lstm


def _to_peepholes(cell: Cell, d: ir.Value, v: _Lstm) -> ir.Value:
    """Compute the gradient of the peepholes: the sum of each gate's gradient times the cell state that it saw."""
    op = cell.op
    gates = zip(cell.split(d), (v.before, v.c, v.before), strict=False)
    return op.Concat(*(op.ReduceSum(op.Mul(g, cell.rows(c)), op.ints([1]), keepdims=0) for g, c in gates), axis=1)
