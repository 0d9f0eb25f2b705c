"""Expand a share's denominator into products, to prove the facts that cheaper forms of it rest on.

It is a sum of products of x⁺, x⁻, x² or 1 with w⁺, w⁻, w² or 1, and of the same parts of the bias. The
coefficients of these products say whether it is the layer's output z = x⁺w⁺ + x⁺w⁻ + x⁻w⁺ + x⁻w⁻ + b⁺ + b⁻ itself,
whether two denominators add up to a multiple of z, and which sign it has.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from onnxlrp.rule_language import NOTHING, Above, Below, Modifier, Share, Term

_SIGNS = np.array([1.0, -1.0, 1.0, 1.0])
"""The signs of v⁺, v⁻, v² and 1."""
_LINEAR = np.array([1.0, 1.0, 0.0, 0.0])
"""The coefficients of v itself."""


@dataclasses.dataclass(frozen=True, eq=False)
class Denominator:
    """A share's terms, and the coefficients of the products that they add up."""

    share: Share
    terms: tuple[Term, ...]
    """The share's terms that can differ from 0, simplified."""
    coefficients: np.ndarray
    """Coefficient of each product. It is NaN, which equals nothing, where a term has a bound in place of x, so that
    nothing is proved of such a term."""
    signs: np.ndarray
    """The sign of each product."""
    output: np.ndarray
    """The coefficients that the layer's output has."""

    @classmethod
    def of(cls, share: Share, *, nonnegative: bool, biased: bool) -> Denominator:
        """Expand the terms of a share; `nonnegative`: x is never negative; `biased`: the layer has a bias."""
        xs = [t.x.simplified(nonnegative=nonnegative) if isinstance(t.x, Modifier) else t.x for t in share.terms]
        simple = [
            dataclasses.replace(t, x=x, weight=t.weight.simplified()) for t, x in zip(share.terms, xs, strict=True)
        ]
        terms = [t for t in simple if t.factor and (NOTHING not in (t.x, t.weight) or (biased and t.bias is not None))]
        x, b = [0, 2, 3] if nonnegative else [0, 1, 2, 3], slice(0, 4 if biased else 0)
        products, shifts = np.zeros((len(x), 4)), np.zeros(4)
        for term in terms:
            products += term.factor * np.outer(_coefficients(term.x)[x], _coefficients(term.weight))
            shifts += term.factor * _coefficients(term.bias or NOTHING)
        pairs = ((products, shifts), *((np.outer(each[x], each), each) for each in (_SIGNS, _LINEAR)))
        return cls(share, tuple(terms), *(np.concatenate([both.ravel(), alone[b]]) for both, alone in pairs))

    @property
    def is_output(self) -> bool:
        """Return True where the denominator is the layer's own output."""
        return np.array_equal(self.coefficients, self.output)

    def multiple_with(self, other: Denominator) -> float:
        """Return m where this denominator and another add up to m times the layer's output, else 0."""
        total = self.coefficients + other.coefficients
        return float(total[0]) if np.array_equal(total, total[0] * self.output) else 0.0

    @property
    def sign(self) -> int:
        """Return 1 or −1 where the denominator has that sign, or is 0, wherever the share's gate is open; 0 where
        nothing is known."""
        sizes, output = self.coefficients * self.signs, self.output * self.signs * self.share.gate
        return next((sign for sign in (1, -1) if _never_negative(sign * sizes, output)), 0)


def _never_negative(sizes: np.ndarray, output: np.ndarray) -> bool:
    """Return True where some λ ≥ 0 leaves no negative coefficient in d − λ·output, which proves d ≥ λ·output ≥ 0."""
    raised, lowered, others = sizes[output > 0], sizes[output < 0], sizes[output == 0]
    least = (-lowered).max(initial=0.0)
    return bool(others.min(initial=0.0) >= 0 and raised.min(initial=np.inf) >= least)


def _coefficients(by: Modifier | Above | Below) -> np.ndarray:
    """Return the coefficients of v⁺, v⁻, v² and 1."""
    return np.array([by.above, by.below, by.square, by.one] if isinstance(by, Modifier) else [np.nan] * 4)
