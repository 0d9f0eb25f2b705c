"""A rule on a layer: forward, divide, transpose, multiply, for whatever terms the rule lists."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.bounds import bounds
from onnxlrp.emit.float16 import bounded
from onnxlrp.emit.narrow_columns import narrowed
from onnxlrp.emit.relevance import Stand
from onnxlrp.emit.stabilised_division import ratio
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.graph.builder import Builder
from onnxlrp.plan import Step
from onnxlrp.rules import MINUS, ONE, PLUS, SAME, Modifier, Share, Term

_MANY = 64
"""Products of an output, of which both signs surely have some."""


def layer(walk: Walk, step: Step) -> None:
    """Share the relevance at the layer's output out to its input."""
    _Layer(walk, narrowed(walk, step)).share_out()


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
        self.x, self.w = walk.known(self.form.x), walk.read(self.form.w)
        self.b = None if self.form.bias is None or self.rule.zero_params else walk.read(self.form.bias)
        self.z = self.form.z
        self.positive_input = self.form.x in walk.facts.nonnegative
        self.unbiased = self.rule.zero_params is not None and self.form.bias is not None
        """The rule takes out the bias that the output has."""
        if step.reference is not None:
            self._shift(step.reference)
        self.rectified = walk.stand(self.z) in (Stand.RECTIFIED, Stand.CUT) and not self.unbiased
        """Relevance lives only where the output is positive: a ReLU is all that reads it."""
        plain = self.rule.epsilon > 0 and self.rule.relative == 0 and walk.ledger is None
        # What is left of the output by subtraction may be as small as ε: it is not rounded together with it.
        left = any(share.complement and not share.gate for share in self.rule.shares())
        self.half = walk.dtype == ir.DataType.FLOAT16
        self.plain = plain and not left and not self.half
        """Nobody asks for a denominator itself, only for it with its ε."""

    def _shift(self, reference: np.ndarray) -> None:
        """Share out the change from a reference, W·(x − r), in which no bias has a part."""
        self.x = shaped(self.op.Sub(self.x, self.op.constant(reference, self.walk.dtype)), self.form.x)
        self.b, self.positive_input, self.unbiased = None, False, True

    def share_out(self) -> None:
        pieces, first = _Pieces(), None
        for share in self.rule.shares():
            if share.gate < 0 and self.rectified:
                continue
            share = dataclasses.replace(share, terms=self._terms(share))
            own = self._is_output(share.terms)
            sign = 0 if own else self._sign_of(share)
            if self.plain and sign:
                d, first = self._stabilised(share, sign, first)
                s = self.op.Div(self._arrived(share), d)
            else:
                d, first = self._denominator(share, own, first)
                s = self._ratio(share, d, own)
            for term in share.terms:
                self._back(term, s, share.coefficient, pieces)
        if self.walk.ledger is not None and any(share.gate for share in self.rule.shares()):
            dropped = self.op.Where(self.op.Equal(self._output(), 0.0), self.walk.amount(self.z), self._zero())
            self.walk.ledger.stopped(self.step, dropped)
        self._send(pieces)

    def _zero(self) -> ir.Value:
        return self.op.constant(0, self.walk.dtype)

    def _is_output(self, terms: Sequence[Term]) -> bool:
        """Whether the denominator is the layer's own output."""
        if len(terms) != 1 or self.form.rounds or self.unbiased:
            return False
        same = (SAME, PLUS) if self.positive_input else (SAME,)
        return terms[0].x in same and terms[0].weight == SAME and terms[0].bias == SAME and terms[0].factor == 1

    def _output(self) -> ir.Value:
        """The layer's own output; without bias where the rule takes it out, without rounding where it is rounded."""
        if self.unbiased:
            return self.form.forward(self.op, self.x, self.w, None)
        return self.form.forward(self.op, self.x, self.w, self.b) if self.form.rounds else self.walk.known(self.z)

    def _terms(self, share: Share) -> tuple[Term, ...]:
        """Those that can be other than 0."""
        return tuple(t for t in share.terms if not (self.positive_input and t.x == MINUS))

    def _sign_of(self, share: Share) -> int:
        """+1 or −1 where a denominator that anything is divided by has this sign, 0 where it may have either."""
        if share.gate:
            return share.gate
        signs = {self._sign(t) for t in share.terms}
        return signs.pop() if len(signs) == 1 else 0

    def _stabilised(self, share: Share, sign: int, first: ir.Value | None) -> tuple[ir.Value, ir.Value]:
        """`s(d)` of a known sign, and the first share's before it is bounded: ε is a part of the layer's bias, which
        costs nothing, and the bound keeps what a gate leaves out, or rounding, from the other sign."""
        op, epsilon = self.op, self.rule.epsilon
        if share.complement and first is not None:
            rest = op.Sub(self._multiple(share.complement), first)
            return op.Min(rest, op.number(-epsilon, rest)), first
        d = self._sum(share.terms, sign * epsilon)
        kept = (op.Max if sign > 0 else op.Min)(d, op.number(sign * epsilon, d)) if share.gate else d
        return kept, d if first is None else first

    def _multiple(self, factor: float) -> ir.Value:
        """Of the layer's own output."""
        return self._output() if factor == 1 else self.op.Mul(self._output(), factor)

    def _denominator(self, share: Share, own: bool, first: ir.Value | None) -> tuple[ir.Value, ir.Value]:
        """d, and the first share's."""
        if own:
            d = self.walk.known(self.z)
        elif share.complement and first is not None and self._subtracts(share):
            d = self.op.Min(self.op.Sub(self._multiple(share.complement), first), self._zero())
        else:
            d = self._sum(share.terms)
        return d, d if first is None else first

    def _subtracts(self, share: Share) -> bool:
        """Whether a denominator may be what another leaves of the output: not where all that is left may be what the
        output was rounded by. Of few products often hardly any has the other sign: of a depthwise convolution
        (MobileNetV2's relevance under α2β1 was off by 1e-4 in float32, and is by 3e-6) or of 8 to 32 channels (a
        ledger that did not close by 2e-3)."""
        if share.gate:
            return self.rule.relative == 0 and not self.half
        return self.form.products >= _MANY and self.z.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)

    def _sum(self, terms: Sequence[Term], extra: float = 0.0) -> ir.Value:
        """The terms of a denominator added up, and `extra`, as part of a bias where there is one."""
        parts = []
        for term in terms:
            bias = None if term.bias is None or self.b is None else self._modified(self.b, term.bias)
            if bias is not None and extra:
                bias, extra = self.op.Add(bias, extra), 0.0
            out = self.form.forward(self.op, self._input(term), self._weight(term.weight), bias)
            parts.append(out if term.factor == 1 else self.op.Mul(out, term.factor))
        total = functools.reduce(self.op.Add, parts)
        return self.op.Add(total, extra) if extra else total

    def _sign(self, term: Term) -> int:
        """Of a term of the denominator: +1, −1, or 0 where it is not known."""
        if not isinstance(term.x, Modifier):
            return 0
        x = 1 if self.positive_input and term.x == SAME else term.x.sign
        product = x * term.weight.sign
        if term.bias is not None and self.b is not None and term.bias.sign != product:
            return 0
        return product if term.factor > 0 else -product

    def _arrived(self, share: Share) -> ir.Value:
        """R, or 0 where the share's gate is closed."""
        op, walk = self.op, self.walk
        if not share.gate or (self.rectified and share.gate > 0):
            return walk.amount(self.z)
        if walk.carrier(self.z) is self.z and not self.unbiased:
            z = walk.known(self.z)
            return op.Mul(walk.factor(self.z), op.Relu(z) if share.gate > 0 else op.Min(z, self._zero()))
        return op.Where(self._open(share), walk.amount(self.z), self._zero())

    def _open(self, share: Share) -> ir.Value:
        """Where the output has the sign of the share's gate."""
        compare = self.op.Greater if share.gate > 0 else self.op.Less
        return compare(self._output(), 0.0)

    def _ratio(self, share: Share, d: ir.Value, own: bool) -> ir.Value:
        """`gate · R / s(d)`."""
        op, walk = self.op, self.walk
        # What a gate leaves out has either sign.
        sign = 0 if own or share.gate else self._sign_of(share)
        s = ratio(walk, self.z, d, self.rule, own=own, sign=sign)
        gate = None
        if share.gate and not self.rectified:
            gate = self._open(share)
            s = op.Where(gate, s, self._zero())
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
            r, s = op.Mul(r, share.coefficient), op.Mul(s, share.coefficient)
        if self.rule.epsilon == 0 and self.rule.relative == 0:
            ledger.stopped(self.step, op.Where(op.Equal(d, 0.0), r, self._zero()))
            r = op.Where(op.Equal(d, 0.0), self._zero(), r)
        ledger.epsilon(self.step, op.Sub(r, op.Mul(s, d)))
        for term in share.terms:
            if term.bias is not None and self.b is not None:
                shift = self.form.shift(op, self._modified(self.b, term.bias))
                share_of_bias = op.Mul(s, shift)
                ledger.bias(self.step, share_of_bias if term.factor == 1 else op.Mul(share_of_bias, term.factor))

    def _input(self, term: Term) -> ir.Value:
        if isinstance(term.x, str):
            return self.op.Sub(self.x, bounds(self.walk, self.form.x, self.rule)[term.x == "below"])
        positions = self.form.entry.gradient_only
        if term.x == ONE and self.form.data == 0 and len(self.form.x.shape or ()) > 1 and not positions:
            # The rows of the batch are alike: one will do (where each has no positions of its own).
            op = self.op
            return op.full(op.Concat(op.ints([1]), op.shape(self.form.x, 1), axis=0), 1, self.walk.dtype)
        return self.x if self.positive_input and term.x == PLUS else self._modified(self.x, term.x)

    def _weight(self, by: Modifier) -> ir.Value:
        """The weight, modified; in float32 also where it is in float16: only that is done as the session is created."""
        if not self.half or by == SAME:
            return self._modified(self.w, by)
        wide = self._modified(self.op.cast(self.w, ir.DataType.FLOAT), by)
        return self.op.cast(wide, self.walk.dtype)

    def _modified(self, v: ir.Value, by: Modifier) -> ir.Value:
        """`same·v + plus·max(v, 0) + minus·min(v, 0) + square·v² + one`."""
        op = self.op
        parts: list[ir.Value] = []
        if by.same or by.plus or by.minus:
            parts.append(self._bent(v, by.same + by.plus, by.same + by.minus))
        if by.square:
            parts.append(_times(op, op.Mul(v, v), by.square))
        if by.one:
            parts.append(_times(op, op.full_like(v, 1), by.one))
        return functools.reduce(op.Add, parts)

    def _bent(self, v: ir.Value, above: float, below: float) -> ir.Value:
        """`above·v` where v is positive and `below·v` where it is negative, in as few operations as that takes: a
        session copies a whole weight for each, which is most of the time that it takes to create."""
        op, zero = self.op, self.op.number(0, v)
        if above == below:
            return _times(op, v, above)
        if below == 0:
            return _times(op, op.Max(v, zero), above)
        if above == 0:
            return op.Sub(op.Max(v, zero), v) if below == -1 else _times(op, op.Min(v, zero), below)
        return (op.Max if above > below else op.Min)(_times(op, v, above), _times(op, v, below))

    def _back(self, term: Term, s: ir.Value, coefficient: float, pieces: _Pieces) -> None:
        """`coefficient · fᵀ(s; w)` of a term, filed by what multiplies it."""
        op = self.op
        weight = term.weight.times(coefficient * term.factor)
        back = bounded(op, shaped(self.form.transpose(op, s, self.x, self._weight(weight)), self.x))
        if isinstance(term.x, str):
            pieces.amounts.append(bounded(op, op.Mul(back, self._input(term))))
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
        if not pieces.amounts and self.step.reference is None:
            assert factor is not None
            self.walk.send(x, factor, x)
            return
        amounts = list(pieces.amounts)
        if factor is not None:
            amounts.append(bounded(op, op.Mul(factor, self.x)))
        self.walk.send(x, functools.reduce(op.Add, amounts))


def _times(op: Builder, v: ir.Value, factor: float) -> ir.Value:
    return v if factor == 1 else op.Neg(v) if factor == -1 else op.Mul(v, factor)
