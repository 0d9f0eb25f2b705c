"""A rule on a layer: forward, divide, transpose, multiply, for whatever terms the rule lists."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.bounds import bounds
from onnxlrp.emit.denominators import Denominator
from onnxlrp.emit.float16 import bounded
from onnxlrp.emit.modified import modified, modified_weight, times
from onnxlrp.emit.narrow_columns import narrowed
from onnxlrp.emit.relevance import Stand
from onnxlrp.emit.stabilised_division import ratio
from onnxlrp.emit.walk import Walk, shaped
from onnxlrp.plan import Step
from onnxlrp.rule_language import NOTHING, ONE, Above, Modifier, Share, Term

_MANY = 64
"""Products of an output, of which both signs surely have some."""
_CLOSES = 1e-9
"""Coefficients that add up to 1 but for this lose nothing."""


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
        nonnegative = self.form.x in walk.facts.nonnegative
        self.unbiased = self.rule.zero_params is not None and self.form.bias is not None
        """The rule takes out the bias that the output has."""
        if step.reference is not None:
            self._shift(step.reference)
            nonnegative = False
        self.rectified = walk.stand(self.z) in (Stand.RECTIFIED, Stand.CUT) and not self.unbiased
        """Relevance lives only where the output is positive: a ReLU is all that reads it."""
        self.half = walk.dtype == ir.DataType.FLOAT16
        open_ = [s for s in self.rule.shares() if s.coefficient and not (s.gate < 0 and self.rectified)]
        self.denominators = [Denominator.of(s, nonnegative=nonnegative, biased=self.b is not None) for s in open_]
        # What is left of the output by subtraction may be as small as ε: it is not rounded together with it.
        left = any(d.multiple_with(self.denominators[0]) and not d.share.gate for d in self.denominators[1:])
        plain = self.rule.epsilon > 0 and self.rule.relative == 0 and walk.ledger is None
        self.plain = plain and not left and not self.half
        """Nobody asks for a denominator itself, only for it with its ε."""
        self.first: tuple[ir.Value, float] | None = None
        """The sum of the first denominator's terms, and the ε that is part of it."""

    def _shift(self, reference: np.ndarray) -> None:
        """Share out the change from a reference, W·(x − r), in which no bias has a part."""
        self.x = shaped(self.op.Sub(self.x, self.op.constant(reference, self.walk.dtype)), self.form.x)
        self.b, self.unbiased = None, True

    def share_out(self) -> None:
        pieces = _Pieces()
        for denominator in self.denominators:
            share = denominator.share
            own = denominator.is_output and not self.form.rounds and not self.unbiased
            sign = 0 if own else self._sign(denominator)
            d = self.walk.known(self.z) if own else self._denominator(denominator, sign)
            if self.first is None:
                self.first = d, 0.0
            s = self.op.Div(self._arrived(share), d) if self.plain and sign else self._ratio(denominator, d, own, sign)
            for term in denominator.terms:
                self._back(term, s, share, pieces)
        if self.walk.ledger is not None:
            self._book_dropped()
        self._send(pieces)

    def _zero(self) -> ir.Value:
        return self.op.constant(0, self.walk.dtype)

    def _output(self) -> ir.Value:
        """The layer's own output; without bias where the rule takes it out, without rounding where it is rounded."""
        if self.unbiased:
            return self.form.forward(self.op, self.x, self.w, None)
        return self.form.forward(self.op, self.x, self.w, self.b) if self.form.rounds else self.walk.known(self.z)

    def _sign(self, denominator: Denominator) -> int:
        """Return 1 or −1 where a denominator has this sign wherever its gate is open, 0 where it may have either."""
        return denominator.sign if self.walk.facts.nonnegative.issuperset(self.form.factors) else 0

    def _denominator(self, denominator: Denominator, sign: int) -> ir.Value:
        """Add up the terms of a denominator of this sign.

        Its ε is added too where nobody asks for the sum alone: as a part of the layer's bias it costs nothing. A bound
        keeps what a gate leaves out, and rounding, from the other sign.
        """
        op, extra = self.op, sign * self.rule.epsilon if self.plain else 0.0
        bound = op.Max if sign > 0 else op.Min
        rest = self._rest(denominator, extra) if sign else None
        if rest is not None:
            return bound(rest, op.number(extra, rest))
        d = self._sum(denominator, extra)
        if self.first is None:
            self.first = d, extra
        return bound(d, op.number(extra, d)) if extra and denominator.share.gate else d

    def _rest(self, denominator: Denominator, extra: float) -> ir.Value | None:
        """Subtract the first denominator from a multiple of the output, if that leaves this one with `extra` of ε: it
        saves a forward pass. None if not.

        None too if all that is left may be what the output was rounded by: where products are few, often hardly any has
        the other sign. In a depthwise convolution (MobileNetV2) relevance under α2β1 was off by 1e-4 in float32, and is
        by 3e-6; with 8 to 32 channels a ledger did not close by 2e-3.
        """
        multiple = denominator.multiple_with(self.denominators[0])
        if not multiple or self.first is None or self.first[1] != -extra:
            return None
        if denominator.share.gate:
            precise = self.rule.relative == 0 and not self.half
        else:
            precise = self.form.products >= _MANY and self.z.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
        return self.op.Sub(times(self.op, self._output(), multiple), self.first[0]) if precise else None

    def _sum(self, denominator: Denominator, extra: float) -> ir.Value:
        """Add up the terms of a denominator, and `extra`, as a part of a bias where there is one."""
        parts = []
        for term in denominator.terms:
            bias = None if term.bias is None or self.b is None else modified(self.op, self.b, term.bias)
            if bias is not None and extra and term.factor == 1:
                bias, extra = self.op.Add(bias, extra), 0.0
            out = self.form.forward(self.op, self._input(term, denominator.share), self._weight(term.weight), bias)
            parts.append(out if term.factor == 1 else self.op.Mul(out, term.factor))
        if extra or not parts:
            parts.append(self.op.constant(extra, self.walk.dtype))
        return functools.reduce(self.op.Add, parts)

    def _arrived(self, share: Share) -> ir.Value:
        """Return R, or 0 where the share's gate is closed."""
        op, walk = self.op, self.walk
        if not share.gate or (self.rectified and share.gate > 0):
            return walk.amount(self.z)
        if walk.carrier(self.z) is self.z and not self.unbiased:
            z = walk.known(self.z)
            return op.Mul(walk.factor(self.z), op.Relu(z) if share.gate > 0 else op.Min(z, self._zero()))
        return op.Where(self._open(share), walk.amount(self.z), self._zero())

    def _open(self, share: Share) -> ir.Value:
        """Return True where the output has the sign of the share's gate."""
        compare = self.op.Greater if share.gate > 0 else self.op.Less
        return compare(self._output(), 0.0)

    def _ratio(self, denominator: Denominator, d: ir.Value, own: bool, sign: int) -> ir.Value:
        """`gate · R / s(d)`."""
        op, walk, share = self.op, self.walk, denominator.share
        # What a gate leaves out has either sign.
        s = ratio(walk, self.z, d, self.rule, own=own, sign=0 if share.gate else sign)
        gate = None
        if share.gate and not self.rectified:
            gate = self._open(share)
            s = op.Where(gate, s, self._zero())
        if walk.ledger is not None:
            self._book(denominator, d, s, gate)
        return s

    def _book(self, denominator: Denominator, d: ir.Value, s: ir.Value, gate: ir.Value | None) -> None:
        """Bias, ε and what was dropped at d = 0, by their own formulas."""
        op, ledger, share = self.op, self.walk.ledger, denominator.share
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
        for term in denominator.terms:
            if term.bias is not None and self.b is not None:
                shift = self.form.shift(op, modified(op, self.b, term.bias))
                share_of_bias = op.Mul(s, shift)
                ledger.bias(self.step, share_of_bias if term.factor == 1 else op.Mul(share_of_bias, term.factor))

    def _book_dropped(self) -> None:
        """Book what no share takes: R where no gate is open, and the rest where coefficients do not add up to 1."""
        op, ledger = self.op, self.walk.ledger
        assert ledger is not None
        shares = self.rule.shares()
        for compare, gates in ((op.Greater, (0, 1)), (op.Less, (0, -1)), (op.Equal, (0,))):
            rest = 1 - sum(share.coefficient for share in shares if share.gate in gates)
            if abs(rest) > _CLOSES:
                dropped = times(op, self.walk.amount(self.z), rest)
                ledger.stopped(self.step, op.Where(compare(self._output(), 0.0), dropped, self._zero()))

    def _input(self, term: Term, share: Share) -> ir.Value:
        """The layer's input as the term takes it."""
        op = self.op
        if not isinstance(term.x, Modifier):
            low, high = bounds(self.walk, self.form.x, *share.box)
            return op.Sub(self.x, low if isinstance(term.x, Above) else high)
        if term.x == ONE and self.form.alike_rows and len(self.form.x.shape or ()) > 1:
            # One row of the batch will do.
            return op.full(op.Concat(op.ints([1]), op.shape(self.form.x, 1), axis=0), 1, self.walk.dtype)
        return modified(op, self.x, term.x)

    def _weight(self, by: Modifier) -> ir.Value:
        return modified_weight(self.op, self.w, by)

    def _back(self, term: Term, s: ir.Value, share: Share, pieces: _Pieces) -> None:
        """`coefficient · fᵀ(s; w)` of a term, filed by what multiplies it."""
        op, x = self.op, term.x
        if NOTHING in (x, term.weight):
            return
        weight = self._weight(term.weight.times(share.coefficient * term.factor))
        back = bounded(op, shaped(self.form.transpose(op, s, self.x, weight), self.x))
        if x == ONE:
            pieces.amounts.append(back)
        elif not isinstance(x, Modifier) or x.one or x.square:
            pieces.amounts.append(bounded(op, op.Mul(back, self._input(term, share))))
        else:
            pieces.where_positive += [times(op, back, x.above)] if x.above else []
            pieces.where_negative += [times(op, back, x.below)] if x.below else []

    def _send(self, pieces: _Pieces) -> None:
        op, x = self.op, self.form.x
        factor = self._factor(pieces)
        if factor is None and not pieces.amounts:
            factor = op.full_like(self.x, 0)
        if factor is not None and not pieces.amounts and self.step.reference is None:
            self.walk.send(x, factor, x)
            return
        amounts = list(pieces.amounts)
        if factor is not None:
            amounts.append(bounded(op, op.Mul(factor, self.x)))
        self.walk.send(x, functools.reduce(op.Add, amounts))

    def _factor(self, pieces: _Pieces) -> ir.Value | None:
        """Return the factor of the input; None where no piece multiplies it."""
        op, sides = self.op, (pieces.where_positive, pieces.where_negative)
        if not any(sides):
            return None
        positive, negative = (functools.reduce(op.Add, side) if side else self._zero() for side in sides)
        return positive if sides[0] == sides[1] else op.Where(op.Greater(self.x, 0.0), positive, negative)
