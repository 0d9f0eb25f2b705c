"""What a step gives back: the relevance of its operands, and what it kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.emit.context import Context
from onnxlrp.emit.relevance import Amount, Factor, Relevance
from onnxlrp.graph.builder import Builder
from onnxlrp.operators.registry import Reversed
from onnxlrp.plan import Step
from onnxlrp.rules import Rule

Arrived = Sequence[Relevance | None]
"""The relevance of each output of a step, None where none arrived."""
Tap = Callable[[], ir.Value]
"""Builds an amount of relevance; called only where a ledger is kept."""


@dataclasses.dataclass(frozen=True)
class Absorbed:
    """The relevance that a step does not hand on, by the reason."""

    bias: Sequence[Tap] = ()
    """The share of constants."""
    epsilon: Sequence[Tap] = ()
    """The share of stabilisers."""
    stopped: Sequence[Tap] = ()
    """What a rule drops."""

    def __add__(self, other: Absorbed) -> Absorbed:
        columns = ("bias", "epsilon", "stopped")
        return Absorbed(*((*getattr(self, column), *getattr(other, column)) for column in columns))

    def scaled(self, op: Builder, k: float) -> Absorbed:
        """A multiple of it."""
        every = (self.bias, self.epsilon, self.stopped)
        return self if k == 1 else Absorbed(*([_scaled(op, tap, k) for tap in taps] for taps in every))


def _scaled(op: Builder, tap: Tap, k: float) -> Tap:
    return lambda: op.Mul(tap(), k)


NOTHING = Absorbed()


@dataclasses.dataclass(frozen=True)
class Backward:
    """What a step gives back."""

    parts: Mapping[int, Relevance]
    """The relevance of each operand, by its index."""
    absorbed: Absorbed = NOTHING
    conserves: bool = True
    """False where what is missing has no formula of its own, as at a softmax; the ledger marks such a step."""
    products: Mapping[int, Relevance] = dataclasses.field(default_factory=dict)
    """Under gradient × input, the product that an embedding lookup sends to its ids: it is a result already, and must
    not be multiplied with the ids."""

    def settled(self, context: Context) -> Backward:
        """The same with the parts as they go from step to step."""
        return dataclasses.replace(self, parts={index: part.settled(context) for index, part in self.parts.items()})

    def plus(self, index: int, part: Relevance) -> Backward:
        """The same with one more part."""
        known = self.parts.get(index)
        return dataclasses.replace(self, parts={**self.parts, index: part if known is None else known.plus(part)})


Treat = Callable[[Context, Step, Arrived], Backward]
"""How a kind of step carries relevance: a pure function of what arrived, but for the nodes that it builds."""


def only(arrived: Arrived) -> Relevance:
    """The relevance of a step's first output."""
    first = arrived[0]
    assert first is not None
    return first


def amounts(context: Context, arrived: Arrived) -> list[ir.Value | None]:
    """The amount at each output."""
    return [None if r is None else r.amount(context) for r in arrived]


def kept_by_division(context: Context, r: Tap, s: ir.Value, d: Tap, rule: Rule, *, masked: bool = False) -> Absorbed:
    """What the quotient `s = R / s(d)` keeps of R: the stabiliser's share R − s·d, and all of R where d is 0 and the
    rule has no stabiliser; `masked`: d may be −∞ or NaN where s is 0."""
    op = context.op

    def epsilon() -> ir.Value:
        return op.Sub(r(), share_of(context, s, d()) if masked else op.Mul(s, d()))

    def dropped() -> ir.Value:
        return op.Where(op.Equal(d(), 0.0), r(), context.zero)

    if rule.epsilon == 0 and rule.relative == 0:
        return Absorbed(epsilon=(lambda: op.Sub(epsilon(), dropped()),), stopped=(dropped,))
    return Absorbed(epsilon=(epsilon,))


def share_of(context: Context, s: ir.Value, part: ir.Value) -> ir.Value:
    """The share s·part of one part of a denominator: 0 where s is, even of the −∞ that a mask adds."""
    op = context.op
    return op.Where(op.Equal(s, 0.0), context.zero, op.Mul(s, part))


def factor_of(context: Context, r: Relevance, epsilon: float) -> tuple[ir.Value, Absorbed]:
    """The factor c with R = c·y for the value y itself, and what is kept: an amount is divided by y and ε, and with
    ε = 0 is lost where y is 0."""
    op, c = context.op, r.own_factor(context)
    if c is not None:
        return c, NOTHING
    y, amount = context.known(r.value), r.amount(context)
    quotient = op.Div(amount, op.stabilise(y, epsilon))
    return quotient, Absorbed(epsilon=[lambda: op.Sub(amount, op.Mul(quotient, y))])


def from_reversed(context: Context, step: Step, back: Reversed) -> Backward:
    """An operator's own reverse as a step's: what goes to a constant, a recurrent operator's initial state, say, is the
    share of constants."""
    wanted, parts = context.wanted(step), {}
    for index, operand in wanted.items():
        found: list[Relevance] = [Factor(operand, c, operand) for i, c in back.factors.items() if i == index]
        found += [Amount(operand, r) for i, r in back.amounts.items() if i == index]
        if found:
            parts[index] = found[0] if len(found) == 1 else found[0].plus(found[1])
    others = [r for index, r in back.amounts.items() if index not in step.operands]
    bias = [r for r in (*others, back.bias) if r is not None]
    epsilon = [r for r in (back.epsilon,) if r is not None]
    return Backward(parts, Absorbed([_given(r) for r in bias], [_given(r) for r in epsilon]), back.conserves)


def _given(r: ir.Value) -> Tap:
    return lambda: r
