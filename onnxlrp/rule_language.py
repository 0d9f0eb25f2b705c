"""Language of rules: how operands change (`Modifier`), what is added up (`Term`) and what is shared (`Share`).

`onnxlrp.rules` exports these names too, and explains how a rule is composed of them.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

Bound = Any
"""A bound of the input: a number, one number per channel, or an array of the input's shape."""


def _check_finite(owner: object, *numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{owner!r}: every number, and every sum of those for one sign, must be finite")


@dataclasses.dataclass(frozen=True)
class Modifier:
    """Change an input, a weight or a bias `v`, element by element, before a layer runs on it.

    The result is `same·v + plus·max(v, 0) + minus·min(v, 0) + square·v² + one`.

    Parameters
    ----------
    same
        The factor of v itself.
    plus, minus
        The factors of the positive and of the negative elements of v; the others count as 0.
    square
        The factor of v².
    one
        A number that is added to every element.

    Raises
    ------
    ValueError
        A coefficient, or the sum of two that meet in one element, is not a finite number.

    Examples
    --------
    ```python
    from onnxlrp.rules import Modifier

    favoured = Modifier(same=1, plus=0.25)  # v + 0.25·max(v, 0), the weight of the γ rule
    size = Modifier(plus=1, minus=-1)  # |v|
    ```
    """

    same: float = 0.0
    plus: float = 0.0
    minus: float = 0.0
    square: float = 0.0
    one: float = 0.0

    def __post_init__(self) -> None:
        _check_finite(self, *dataclasses.astuple(self), self.above, self.below)

    @property
    def above(self) -> float:
        """Factor of positive elements."""
        return self.same + self.plus

    @property
    def below(self) -> float:
        """Factor of negative elements."""
        return self.same + self.minus

    def times(self, factor: float) -> Modifier:
        """Return the modifier whose result is `factor` times as large."""
        return Modifier(*(factor * f for f in dataclasses.astuple(self)))

    def simplified(self, *, nonnegative: bool = False) -> Modifier:
        """Return the one way to write this modifier: `same` alone, or `plus` and `minus` without `same`.

        `nonnegative` says that the elements to be changed are never negative, so that `minus` has nothing to change.
        """
        above, below = self.above, self.above if nonnegative else self.below
        linear = (above, 0.0, 0.0) if above == below else (0.0, above, below)
        return Modifier(*linear, self.square, self.one)


SAME = Modifier(same=1)
PLUS = Modifier(plus=1)
MINUS = Modifier(minus=1)
SQUARE = Modifier(square=1)
ONE = Modifier(one=1)
NOTHING = Modifier()
"""Modifier that gives 0 for any operand."""


@dataclasses.dataclass(frozen=True, eq=False)
class Above:
    """Take `x − low` for the input.

    `low` is the lowest value that the *model's* input can have: a number, one number per channel, or an array of the
    input's shape. It is carried to the layer through the operators between them.
    """

    low: Bound


@dataclasses.dataclass(frozen=True, eq=False)
class Below:
    """Take `x − high` for the input; `high` is the highest value that the model's input can have, as in `Above`."""

    high: Bound


@dataclasses.dataclass(frozen=True)
class Term:
    """Run the layer on changed operands: `factor · f(x; weight, bias)`.

    Parameters
    ----------
    x
        Change of the input: a `Modifier`, `Above` or `Below`.
    weight
        Change of the weight.
    bias
        Change of the bias; None leaves the bias out. A layer that has no bias adds none in any term.
    factor
        A finite number that multiplies the term, in the denominator and in what the input receives.

    Raises
    ------
    ValueError
        `factor` is not finite, or `x` is none of the three.

    Examples
    --------
    ```python
    from onnxlrp.rules import MINUS, PLUS, Term

    lowering = Term(PLUS, MINUS, MINUS)  # f(x⁺; w⁻, b⁻)
    ```
    """

    x: Modifier | Above | Below
    weight: Modifier
    bias: Modifier | None = None
    factor: float = 1.0

    def __post_init__(self) -> None:
        _check_finite(self, self.factor)
        if not isinstance(self.x, (Modifier, Above, Below)):
            raise ValueError(f"Term: x is a Modifier, Above(low) or Below(high), not {self.x!r}")


@dataclasses.dataclass(frozen=True)
class Share:
    """Divide the relevance R of the output by one denominator and give it to the input.

    With d the sum of the terms, the input receives `coefficient · Σ_terms factor · x · fᵀ(R / s(d); weight)`.

    Parameters
    ----------
    terms
        At least one `Term`. If one has `Above(low)` another must have `Below(high)`, because an operator upstream that
        turns signs exchanges the two bounds; all terms of a share must have the same two bounds.
    coefficient
        A finite number; the coefficients of a rule that conserves relevance add up to 1.
    gate
        1 gives relevance only where the layer's own output z is positive, −1 only where it is negative, 0 everywhere.

    Raises
    ------
    ValueError
        One of these conditions does not hold.

    Examples
    --------
    ```python
    from onnxlrp.rules import MINUS, PLUS, Share, Term

    raising = Share((Term(PLUS, PLUS, PLUS), Term(MINUS, MINUS)))  # the z⁺ rule
    ```
    """

    terms: tuple[Term, ...]
    coefficient: float = 1.0
    gate: int = 0

    def __post_init__(self) -> None:
        _check_finite(self, self.coefficient)
        if not self.terms:
            raise ValueError("Share: there is no term, so nothing says how the relevance is shared")
        if self.gate not in (-1, 0, 1):
            raise ValueError(f"Share: the gate is 1, −1 or 0, not {self.gate!r}")
        bounds = [[t.x.low for t in self.terms if isinstance(t.x, Above)]]
        bounds += [[t.x.high for t in self.terms if isinstance(t.x, Below)]]
        if any(not np.array_equal(bound, same[0]) for same in bounds for bound in same):
            raise ValueError("Share: all of its terms with Above or with Below must have the same bound")
        if bool(bounds[0]) != bool(bounds[1]):
            raise ValueError(
                "Share: Above(low) and Below(high) go together, for operators upstream may exchange the two"
            )

    @property
    def box(self) -> tuple[Bound, Bound]:
        """Bounds of the model's input, low and high, for a share that has them."""
        low = next(t.x.low for t in self.terms if isinstance(t.x, Above))
        return low, next(t.x.high for t in self.terms if isinstance(t.x, Below))


IN_PROPORTION = (Share((Term(SAME, SAME, SAME),)),)
"""Shares of the ε rules. Steps without weights, such as sums, take only these and `EVENLY`."""
EVENLY = (Share((Term(ONE, ONE),)),)
"""Shares of the flat rule."""
