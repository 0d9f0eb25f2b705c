"""A rule on a layer: forward, divide, transpose, multiply, for whatever terms the rule lists."""

from __future__ import annotations

import dataclasses
import functools

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.bounds import bounds
from onnxlrp.emit.ratio import ratio
from onnxlrp.emit.walk import Walk
from onnxlrp.plan import Step
from onnxlrp.rules import MINUS, ONE, PLUS, SAME, Modifier, Share, Term


def layer(walk: Walk, step: Step) -> None:
    """Share the relevance at the layer's output out to its input."""
    _Layer(walk, step).share_out()


@dataclasses.dataclass
class _Pieces:
    """Transposed pieces by what they are multiplied with."""

    where_positive: list[ir.Value] = dataclasses.field(default_factory=list)
    where_negative: list[ir.Value] = dataclasses.field(default_factory=list)
    amounts: list[ir.Value] = dataclasses.field(default_factory=list)


class _Layer:
    def __init__(self, walk: Walk, step: Step) -> None:
        assert step.layer is not None and step.rule is not None
        self.walk, self.step, self.rule = walk, step, step.rule
        self.form: Layer = step.layer.in_floats(walk.op)
        self.op = walk.op
        self.x, self.w = walk.read(self.form.x), walk.read(self.form.w)
        self.b = None if self.form.bias is None or self.rule.zero_params else walk.read(self.form.bias)
        self.z = self.form.z
        self.positive_input = self.form.x in walk.facts.nonnegative
        carrier = walk.carrier(self.z)
        unbiased = self.rule.zero_params is not None and self.form.bias is not None
        self.rectified = carrier is not None and carrier is not self.z and not unbiased
        """Relevance lives only where the output is positive: a ReLU is all that reads it."""

    def share_out(self) -> None:
        pieces, first = _Pieces(), None
        shares = self.rule.shares()
        for share in shares:
            if share.gate < 0 and self.rectified:
                continue
            terms = [t for t in share.terms if not (self.positive_input and t.x == MINUS)]
            own = self._is_output(terms)
            if len(shares) == 1 and not own and self._stabilises_itself(terms):
                # ε added to the bias of a denominator that cannot be negative: one pass over the output less.
                s = self.op.Div(self.walk.amount(self.z), self._sum(terms, self.rule.epsilon))
                for term in terms:
                    self._back(term, s, pieces)
                continue
            d, sign = self._denominator(share, terms, own, first)
            first = d if first is None else first
            s = self._ratio(share, d, own, sign)
            for term in terms:
                self._back(term, s, pieces)
        if self.walk.ledger is not None and any(share.gate for share in shares):
            dropped = self.op.Where(self.op.Equal(self._output(), 0.0), self.walk.amount(self.z), self._zero())
            self.walk.ledger.stopped(self.step, dropped)
        self._send(pieces)

    def _zero(self) -> ir.Value:
        return self.op.constant(0, self.walk.dtype)

    def _is_output(self, terms: list[Term]) -> bool:
        """Whether the denominator is the layer's own output."""
        if len(terms) != 1 or self.form.rounds or (self.rule.zero_params and self.form.bias is not None):
            return False
        same = (SAME, PLUS) if self.positive_input else (SAME,)
        return terms[0].x in same and terms[0].weight == SAME and terms[0].bias == SAME and terms[0].factor == 1

    def _output(self) -> ir.Value:
        """The layer's own output; without bias where the rule takes it out, without rounding where it is rounded."""
        if self.rule.zero_params and self.form.bias is not None:
            return self.form.forward(self.op, self.x, self.w, None)
        return self.form.forward(self.op, self.x, self.w, self.b) if self.form.rounds else self.walk.read(self.z)

    def _denominator(self, share: Share, terms: list[Term], own: bool, first: ir.Value | None) -> tuple[ir.Value, int]:
        """d and its sign, 0 where it may have either."""
        if own:
            return self.walk.read(self.z), 1 if self.z in self.walk.facts.nonnegative else 0
        if share.complement and first is not None:
            return self.op.Min(self.op.Sub(self._output(), first), self._zero()), -1
        signs = {self._sign(t) for t in terms}
        return self._sum(terms), signs.pop() if len(signs) == 1 else 0

    def _stabilises_itself(self, terms: list[Term]) -> bool:
        """Whether ε can go into the layer's bias: d is never negative, and nobody asks for d itself."""
        plain = self.rule.epsilon > 0 and self.rule.relative == 0 and self.walk.ledger is None
        biased = self.b is not None and self.form.bias_operand is not None and any(t.bias is not None for t in terms)
        return plain and biased and all(self._sign(t) > 0 for t in terms)

    def _sum(self, terms: list[Term], extra: float = 0.0) -> ir.Value:
        """The terms of a denominator added up; `extra` is added to the bias of the first that has one."""
        parts = []
        for term in terms:
            bias = None if term.bias is None or self.b is None else self._modified(self.b, term.bias)
            if bias is not None and extra:
                bias, extra = self.op.Add(bias, extra), 0.0
            out = self.form.forward(self.op, self._input(term), self._modified(self.w, term.weight), bias)
            parts.append(out if term.factor == 1 else self.op.Mul(out, term.factor))
        return functools.reduce(self.op.Add, parts)

    def _sign(self, term: Term) -> int:
        """Of a term of the denominator: +1, −1, or 0 where it is not known."""
        if not isinstance(term.x, Modifier):
            return 0
        x = 1 if self.positive_input and term.x == SAME else term.x.sign
        product = x * term.weight.sign
        if term.bias is not None and self.b is not None and term.bias.sign != product:
            return 0
        return product if term.factor > 0 else -product

    def _ratio(self, share: Share, d: ir.Value, own: bool, sign: int) -> ir.Value:
        """`coefficient · gate · R / s(d)`."""
        op, walk = self.op, self.walk
        s = ratio(walk, self.z, d, self.rule, own=own, sign=sign)
        gate = None
        if share.gate and not self.rectified:
            z = self._output()
            gate = op.Greater(z, 0.0) if share.gate > 0 else op.Less(z, 0.0)
            s = op.Where(gate, s, self._zero())
        if share.coefficient != 1:
            s = op.Mul(s, share.coefficient)
        if walk.ledger is not None:
            self._book(share, d, s, gate)
        return s

    def _book(self, share: Share, d: ir.Value, s: ir.Value, gate: ir.Value | None) -> None:
        """Bias, ε and what was dropped at d = 0, by their own formulas."""
        op, ledger = self.op, self.walk.ledger
        assert ledger is not None
        r = self.walk.amount(self.z)
        if gate is not None:
            r = op.Where(gate, r, self._zero())
        if share.coefficient != 1:
            r = op.Mul(r, share.coefficient)
        if self.rule.epsilon == 0 and self.rule.relative == 0:
            ledger.stopped(self.step, op.Where(op.Equal(d, 0.0), r, self._zero()))
            r = op.Where(op.Equal(d, 0.0), self._zero(), r)
        ledger.epsilon(self.step, op.Sub(r, op.Mul(s, d)))
        for term in share.terms:
            if term.bias is not None and self.b is not None:
                nothing = op.full_like(self.x, 0)
                shift = self.form.forward(op, nothing, self.w, self._modified(self.b, term.bias))
                ledger.bias(self.step, op.Mul(op.Mul(s, shift), term.factor))

    def _input(self, term: Term) -> ir.Value:
        if isinstance(term.x, str):
            return bounds(self.walk, self.form.x, self.rule)[term.x == "high"]
        positions = self.form.entry.gradient_only
        if term.x == ONE and self.form.data == 0 and len(self.form.x.shape or ()) > 1 and not positions:
            # The rows of the batch are alike: one will do (where each has no positions of its own).
            op = self.op
            return op.full(op.Concat(op.ints([1]), op.shape(self.form.x, 1), axis=0), 1, self.walk.dtype)
        return self.x if self.positive_input and term.x == PLUS else self._modified(self.x, term.x)

    def _modified(self, v: ir.Value, by: Modifier) -> ir.Value:
        """`same·v + plus·max(v, 0) + minus·min(v, 0) + square·v² + one`."""
        op, zero = self.op, self._zero()
        parts: list[ir.Value] = []
        for factor, make in (
            (by.same, lambda: v),
            (by.plus, lambda: op.Max(v, zero)),
            (by.minus, lambda: op.Min(v, zero)),
            (by.square, lambda: op.Mul(v, v)),
            (by.one, lambda: op.full(op.shape(v), 1, self.walk.dtype)),
        ):
            if factor:
                parts.append(make() if factor == 1 else op.Mul(make(), factor))
        return functools.reduce(op.Add, parts)

    def _back(self, term: Term, s: ir.Value, pieces: _Pieces) -> None:
        """`fᵀ(s; w)` of a term, filed by what multiplies it."""
        op = self.op
        back = self.form.transpose(op, s, self.x, self._modified(self.w, term.weight))
        if term.factor != 1:
            back = op.Mul(back, term.factor)
        if isinstance(term.x, str):
            bound = bounds(self.walk, self.form.x, self.rule)[term.x == "high"]
            pieces.amounts.append(op.Mul(back, bound))
        elif term.x.one or term.x.square:
            pieces.amounts.append(back)
        else:
            if term.x.same or term.x.plus:
                pieces.where_positive.append(back)
            if term.x.same or term.x.minus:
                pieces.where_negative.append(back)

    def _send(self, pieces: _Pieces) -> None:
        op, x = self.op, self.form.x
        factor = None
        if pieces.where_positive:
            positive = functools.reduce(op.Add, pieces.where_positive)
            if self.positive_input or pieces.where_positive == pieces.where_negative:
                factor = positive
            else:
                negative = functools.reduce(op.Add, pieces.where_negative) if pieces.where_negative else self._zero()
                factor = op.Where(op.Greater(self.x, 0.0), positive, negative)
        if not pieces.amounts:
            assert factor is not None
            self.walk.send(x, factor, x)
            return
        amounts = list(pieces.amounts)
        if factor is not None:
            amounts.append(op.Mul(factor, self.x))
        self.walk.send(x, functools.reduce(op.Add, amounts))
