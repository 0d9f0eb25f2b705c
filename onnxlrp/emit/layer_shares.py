"""A rule on a layer: forward, divide, transpose, multiply, for whatever terms the rule lists."""

from __future__ import annotations

import functools

import onnx_ir as ir

from onnxlrp.analysis.layers import Layer
from onnxlrp.emit.backward import Absorbed, Arrived, Backward, kept_by_division, only
from onnxlrp.emit.bounds import bounds
from onnxlrp.emit.context import Context
from onnxlrp.emit.denominators import Denominator
from onnxlrp.emit.float16 import bounded
from onnxlrp.emit.modified import modified, modified_weight, scaled_by
from onnxlrp.emit.relevance import Amount, Factor, Relevance
from onnxlrp.emit.slices import narrowed
from onnxlrp.graph.call import shaped
from onnxlrp.plan import Step
from onnxlrp.rule_language import NOTHING, ONE, Above, Modifier, Share, Term

_MANY = 64
"""Number of products in one output from which on it is certain that some are positive and some negative."""
_CLOSES = 1e-9
"""Largest distance from 1 of a sum of coefficients that loses nothing."""


def layer(context: Context, step: Step, arrived: Arrived) -> Backward:
    """Share the relevance at the layer's output out to its input."""
    step, relevance = narrowed(context, step, only(arrived))
    relevance = relevance.undivided() if step.exact else relevance
    return _Layer(context, step, relevance).share_out()


class _Layer:
    def __init__(self, context: Context, step: Step, arrived: Relevance) -> None:
        assert step.layer is not None and step.rule is not None
        self.context, self.step, self.rule, self.arrived = context, step, step.rule, arrived
        self.form: Layer = step.layer.in_floats(context.op)
        self.op = context.op
        self.x, self.w = context.known(self.form.x), context.read(self.form.w)
        self.b = None if self.form.bias is None or self.rule.zero_params else context.read(self.form.bias)
        self.z = self.form.z
        nonnegative = self.form.x in context.facts.nonnegative
        self.unbiased = self.rule.zero_params is not None and self.form.bias is not None
        """True where the output has a bias that the rule takes out."""
        if step.reference is not None:
            # The change from a reference is shared out, W·(x − r), in which no bias has a part.
            self.x = shaped(self.op.Sub(self.x, self.op.constant(step.reference, context.dtype)), self.form.x)
            self.b, self.unbiased, nonnegative = None, True, False
        self.computed = self.unbiased or self.form.rounds
        """True where the output is computed again, because the model's own has a bias that the rule takes out, or is
        rounded."""
        self.rectified = arrived.positive_only and not self.unbiased
        """True where only positive outputs have relevance, because a ReLU is all that reads them."""
        self.half = context.dtype == ir.DataType.FLOAT16
        open_ = [s for s in self.rule.shares() if s.coefficient and not (s.gate < 0 and self.rectified)]
        self.denominators = [Denominator.of(s, nonnegative=nonnegative, biased=self.b is not None) for s in open_]
        # What is left of the output by subtraction may be as small as ε: it is not rounded together with it.
        left = any(d.multiple_with(self.denominators[0]) and not d.share.gate for d in self.denominators[1:])
        self.plain = self.rule.epsilon > 0 and self.rule.relative == 0 and not left and not self.half
        """True where a denominator of known sign is computed together with its ε."""
        self.added = self.rule.epsilon if self.plain and self.rule.stabiliser == "add" else 0.0
        """ε that is added to a denominator of known sign as a part of its bias; 0 where it is clamped at ε instead."""
        self.first: tuple[ir.Value, float] | None = None
        """The sum of the first denominator's terms, and the ε that is part of it."""
        # The transposed pieces, by what they are multiplied with.
        self.where_positive: list[ir.Value] = []
        self.where_negative: list[ir.Value] = []
        self.amounts: list[ir.Value] = []

    def share_out(self) -> Backward:
        shared, signed = [], self.context.facts.nonnegative.issuperset(self.form.factors)
        for denominator in self.denominators:
            own = denominator.is_output and not self.computed
            # 1 or −1 where the denominator has this sign wherever its gate is open, 0 where it may have either.
            sign = denominator.sign if signed and not own else 0
            d = self.context.known(self.z) if own else self._denominator(denominator, sign)
            extra = sign * self.added
            if self.first is None:
                self.first = d, 0.0
            if sign and self.plain:
                s = self.op.Div(self._gated(denominator), d if extra else self._clamped(d, sign))
            else:
                s = self._ratio(denominator, d, own, sign)
            for term in denominator.terms:
                self._back(term, s, denominator.share)
            shared.append((denominator, d, extra, s))
        return Backward([self._collected()], lambda: sum((self._kept(*one) for one in shared), self._dropped()))

    def _output(self) -> ir.Value:
        """The layer's own output; without bias where the rule takes it out, without rounding where it is rounded."""
        computed = self.computed
        return self.form.forward(self.op, self.x, self.w, self.b) if computed else self.context.known(self.z)

    def _denominator(self, denominator: Denominator, sign: int) -> ir.Value:
        """Add up the terms of a denominator of this sign.

        If its sign is known its ε is added too: as a part of the layer's bias it costs nothing. Clipping at this ε
        makes sure of the sign, which rounding may change, and which outputs that the gate leaves out need not have.
        """
        op, extra = self.op, sign * self.added
        bound = op.Max if sign > 0 else op.Min
        rest = self._rest(denominator, extra) if sign else None
        if rest is not None:
            return bound(rest, op.number(extra, rest))
        d = self._sum(denominator, extra)
        if self.first is None:
            self.first = d, extra
        return bound(d, op.number(extra, d)) if extra and denominator.share.gate else d

    def _clamped(self, d: ir.Value, sign: int) -> ir.Value:
        """Clamp a denominator of this sign at its ε, wherever its gate is open; elsewhere any number but 0 will do."""
        return self.op.clamped(d, self.op.number(self.rule.epsilon, d), sign)

    def _rest(self, denominator: Denominator, extra: float) -> ir.Value | None:
        """Return the denominator, with `extra` of ε in it, as a multiple of the output less the first denominator,
        which saves a forward pass. None if it is not that.

        None, too, if the difference may consist of the output's rounding error: where products are few, often hardly
        any has the other sign. In a depthwise convolution (MobileNetV2) relevance under α2β1 was off by 1e-4 in
        float32, and is by 3e-6; with 8 to 32 channels a ledger did not close by 2e-3.
        """
        multiple = denominator.multiple_with(self.denominators[0])
        if not multiple or self.first is None or self.first[1] != -extra:
            return None
        if denominator.share.gate:
            precise = self.rule.relative == 0 and not self.half
        else:
            precise = self.form.products >= _MANY and self.z.dtype not in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
        return self.op.Sub(scaled_by(self.op, self._output(), multiple), self.first[0]) if precise else None

    def _sum(self, denominator: Denominator, extra: float) -> ir.Value:
        """Add up the terms of a denominator, and `extra`, as a part of a bias where there is one."""
        parts = []
        for term in denominator.terms:
            bias = None if term.bias is None or self.b is None else modified(self.op, self.b, term.bias)
            if bias is not None and extra and term.factor == 1:
                bias, extra = self.op.Add(bias, extra), 0.0
            w = modified_weight(self.op, self.w, term.weight)
            out = self.form.forward(self.op, self._input(term, denominator.share), w, bias)
            parts.append(out if term.factor == 1 else self.op.Mul(out, term.factor))
        if extra or not parts:
            parts.append(self.op.constant(extra, self.context.dtype))
        return functools.reduce(self.op.Add, parts)

    def _gated(self, denominator: Denominator) -> ir.Value:
        """Return R, or 0 where the share's gate is closed."""
        gate = denominator.share.gate
        if not gate or (self.rectified and gate > 0):
            return self.arrived.amount(self.context)
        return self.arrived.gated(self.context, lambda: self._open(gate), 0 if self.unbiased else gate)

    def _open(self, gate: int) -> ir.Value:
        """Return True where the output has the sign of a gate."""
        return (self.op.Greater if gate > 0 else self.op.Less)(self._output(), 0.0)

    def _ratio(self, denominator: Denominator, d: ir.Value, own: bool, sign: int) -> ir.Value:
        """`gate · R / s(d)`."""
        context, gate = self.context, denominator.share.gate
        r, sign = self.arrived, 0 if gate else sign  # what a gate leaves out has either sign
        s = r.over_output(context, d, self.rule) if own else r.over(context, d, self.rule, sign)
        return s if not gate or self.rectified else self.op.Where(self._open(gate), s, context.zero)

    def _kept(self, denominator: Denominator, d: ir.Value, extra: float, s: ir.Value) -> Absorbed:
        """Compute what a share keeps: the biases of its terms, ε, and, where there is no ε, all of R where d = 0.
        `extra` is the ε that d includes."""
        op, k = self.op, denominator.share.coefficient
        r, s = scaled_by(op, self._gated(denominator), k), scaled_by(op, s, k)
        kept = kept_by_division(self.context, r, s, op.Sub(d, extra) if extra else d, self.rule)
        shifts = [
            scaled_by(op, self.form.shift(op, modified(op, self.b, term.bias)), term.factor)
            for term in denominator.terms
            if term.bias is not None and self.b is not None
        ]
        return kept + Absorbed(bias=[op.Mul(s, shift) for shift in shifts])

    def _dropped(self) -> Absorbed:
        """Compute what no share takes: R where no gate is open, and the rest where coefficients do not add up to 1."""
        op, shares, stopped = self.op, self.rule.shares(), []
        for compare, gates in ((op.Greater, (0, 1)), (op.Less, (0, -1)), (op.Equal, (0,))):
            rest = 1 - sum(share.coefficient for share in shares if share.gate in gates)
            if abs(rest) > _CLOSES:
                dropped = scaled_by(op, self.arrived.amount(self.context), rest)
                stopped.append(op.Where(compare(self._output(), 0.0), dropped, self.context.zero))
        return Absorbed(stopped=stopped)

    def _input(self, term: Term, share: Share) -> ir.Value:
        """Return the layer's input, changed as the term says."""
        op = self.op
        if not isinstance(term.x, Modifier):
            low, high = bounds(self.context, self.form.x, *share.box)
            return op.Sub(self.x, low if isinstance(term.x, Above) else high)
        if term.x == ONE and self.form.alike_rows and len(self.form.x.shape or ()) > 1:
            # One row of the batch will do.
            return op.full(op.Concat(op.ints([1]), op.shape(self.form.x, 1), axis=0), 1, self.context.dtype)
        return modified(op, self.x, term.x)

    def _back(self, term: Term, s: ir.Value, share: Share) -> None:
        """`coefficient · fᵀ(s; w)` of a term, filed by what multiplies it."""
        op, x = self.op, term.x
        if NOTHING in (x, term.weight):
            return
        weight = modified_weight(op, self.w, term.weight.times(share.coefficient * term.factor))
        back = bounded(op, shaped(self.form.transpose(op, s, self.x, weight), self.x))
        if x == ONE:
            self.amounts.append(back)
        elif not isinstance(x, Modifier) or x.one or x.square:
            self.amounts.append(bounded(op, op.Mul(back, self._input(term, share))))
        else:
            self.where_positive += [scaled_by(op, back, x.above)] if x.above else []
            self.where_negative += [scaled_by(op, back, x.below)] if x.below else []

    def _collected(self) -> Relevance:
        """The relevance of the input: a factor of it, unless some term gives an amount."""
        op, x, amounts, factor = self.op, self.form.x, self.amounts, self._factor()
        if factor is not None and not amounts and self.step.reference is None:
            return Factor(x, factor, x)
        products = [] if factor is None else [bounded(op, op.Mul(factor, self.x))]
        return Amount(x, functools.reduce(op.Add, [*amounts, *products]))

    def _factor(self) -> ir.Value | None:
        """Return the factor of the input; None where terms give amounts alone."""
        op, sides = self.op, (self.where_positive, self.where_negative)
        if not any(sides):
            return None if self.amounts else op.full_like(self.x, 0)
        positive, negative = (functools.reduce(op.Add, side) if side else self.context.zero for side in sides)
        return positive if sides[0] == sides[1] else op.Where(op.Greater(self.x, 0.0), positive, negative)
