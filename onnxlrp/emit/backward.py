"""The record that a step gives back: the relevance of its operands, and what it kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount, Factor, Relevance
from onnxlrp.operators.registry import Reversed
from onnxlrp.plan import Step
from onnxlrp.rules import Rule

Arrived = Sequence[Relevance | None]
"""The relevance of each output of a step, None where none arrived."""


@dataclasses.dataclass(frozen=True)
class Absorbed:
    """The amounts of relevance that a step does not hand on, by the reason."""

    bias: Sequence[ir.Value] = ()
    """The share of constants."""
    epsilon: Sequence[ir.Value] = ()
    """The share of stabilisers."""
    stopped: Sequence[ir.Value] = ()
    """The relevance that a rule drops."""

    def __add__(self, other: Absorbed) -> Absorbed:
        bias, epsilon = [*self.bias, *other.bias], [*self.epsilon, *other.epsilon]
        return Absorbed(bias, epsilon, [*self.stopped, *other.stopped])


@dataclasses.dataclass(frozen=True)
class Backward:
    """The record that a step gives back."""

    parts: Sequence[Relevance]
    """The relevance of the operands: each part names its operand, and parts of one operand are added up."""
    absorbed: Callable[[], Absorbed] = Absorbed
    """Builds the amounts that the step keeps; called only if the conversion has a ledger."""
    conserves: bool = True
    """False for a step whose kept relevance has no formula of its own, such as a softmax; the ledger marks it."""
    products: Sequence[Relevance] = ()
    """Under gradient × input, the product that an embedding lookup sends to its ids: it is a result already, and must
    not be multiplied with the ids."""
    interactions: ir.Value | None = None
    """Interactions of the operand's columns, see `Reversed.interactions`."""


Treat = Callable[[Context, Step, Arrived], Backward]
"""The treatment of a kind of step: a pure function of the relevance that arrived, but for the nodes that it builds."""


def only(arrived: Arrived) -> Relevance:
    """The relevance of a step's first output."""
    first = arrived[0]
    assert first is not None
    return first


def kept_by_division(context: Context, r: ir.Value, s: ir.Value, d: ir.Value, rule: Rule) -> Absorbed:
    """Compute what the quotient `s = R / s(d)` keeps of R: the stabiliser's share R − s·d, and all of R where d is 0
    and the rule has no stabiliser."""
    op = context.op
    if rule.epsilon or rule.relative:
        return Absorbed(epsilon=[op.Sub(r, op.Mul(s, d))])
    dropped = op.Equal(d, 0.0)
    kept = op.Sub(op.Where(dropped, context.zero, r), op.Mul(s, d))
    return Absorbed(epsilon=[kept], stopped=[op.Where(dropped, r, context.zero)])


def factor_of(context: Context, r: Relevance, epsilon: float) -> ir.Value:
    """Return the factor c with R = c·y for the value y itself. An amount is divided by y, stabilised with ε; with ε = 0
    it is lost where y is 0."""
    c, op = r.own_factor(context), context.op
    return op.Div(r.amount(context), op.stabilise(context.known(r.value), epsilon)) if c is None else c


def lost_by(context: Context, r: Relevance, c: ir.Value) -> Absorbed:
    """Compute R − c·y, the part of a value's relevance R that is lost if the factor c of the value y replaces R."""
    if r.own_factor(context) is not None:
        return Absorbed()
    return Absorbed(epsilon=[context.op.Sub(r.amount(context), context.op.Mul(c, context.known(r.value)))])


def from_reversed(context: Context, step: Step, back: Reversed) -> Backward:
    """Turn an operator's own reverse into a step's record: what goes to a constant, a recurrent operator's initial
    state, say, is the share of constants."""
    wanted = context.wanted(step)
    parts: list[Relevance] = [Factor(wanted[i], c, wanted[i]) for i, c in back.factors.items() if i in wanted]
    parts += [Amount(wanted[i], r) for i, r in back.amounts.items() if i in wanted]
    bias = [r for index, r in back.amounts.items() if index not in step.operands]
    kept = Absorbed(bias if back.bias is None else [*bias, back.bias], [] if back.epsilon is None else [back.epsilon])
    return Backward(parts, lambda: kept, back.conserves, interactions=back.interactions)
