"""Every relevance rule, as data.

A rule for a linear layer `z = f(x; w, b)` is a list of shares. A share has a denominator, the sum of a few *terms*
`f(modified x; modified w, modified b)`, and gives `coefficient · Σ_terms modified x · fᵀ(R / s(d); modified w)` to the
input. No rule names an operator: how a layer runs and how it is transposed is the operator's knowledge.

`s(d) = d + sgn(d)·(ε + ρ·rms(d))` is the stabiliser, with ε = `epsilon`, ρ = `relative` and sgn(0) = 1.

A rule of one's own is a frozen dataclass whose `shares` returns these objects; docs/rules.md has an example. Whatever
they say is computed as this formula says it, on every kind of layer; what has no meaning raises ValueError as the
object is made.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from onnxlrp.errors import InputError

Bound = Any
"""A bound of the input: a number, one number per channel, or an array of the input's shape."""


def _check_finite(owner: object, *numbers: float) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{owner!r}: every number, and every sum of those for one sign, must be finite")


@dataclasses.dataclass(frozen=True)
class Modifier:
    """Change an input, a weight or a bias `v`, element by element, before a layer runs on it.

    The result is `same·v + plus·max(v, 0) + minus·min(v, 0) + square·v² + one`.

    Parameters:
        same: the factor of v itself.
        plus: the factor of the positive elements of v; the others count as 0.
        minus: the factor of the negative elements of v; the others count as 0.
        square: the factor of v².
        one: a number that is added to every element.

    Raises ValueError where a coefficient, or a sum of two that meet, is not a finite number.

    Example: `Modifier(same=1, plus=0.25)` is `v + 0.25·max(v, 0)`, the weight of the γ rule;
    `Modifier(plus=1, minus=-1)` is |v|.
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
        """Return the factor of positive elements."""
        return self.same + self.plus

    @property
    def below(self) -> float:
        """Return the factor of negative elements."""
        return self.same + self.minus

    def times(self, factor: float) -> Modifier:
        """Return the modifier whose result is `factor` times as large."""
        return Modifier(*(factor * f for f in dataclasses.astuple(self)))

    def simplified(self, *, nonnegative: bool = False) -> Modifier:
        """Return the one way to write this modifier: `same` alone, or `plus` and `minus` without `same`.

        `nonnegative`: the elements that it changes are never negative, so that `minus` has nothing to change.
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
"""Gives 0 whatever it changes."""


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

    Parameters:
        x: how the input changes: a `Modifier`, `Above` or `Below`.
        weight: how the weight changes.
        bias: how the bias changes; None leaves the bias out. A layer that has no bias adds none in any term.
        factor: a finite number that multiplies the term, in the denominator and in what the input receives.

    Raises ValueError where `factor` is not finite.

    Example: `Term(PLUS, MINUS, MINUS)` is `f(x⁺; w⁻, b⁻)`.
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

    Parameters:
        terms: at least one `Term`. Where one has `Above(low)` another has `Below(high)`, because an operator upstream
            that turns signs exchanges the two bounds; all in one share mean the same two bounds.
        coefficient: a finite number; the coefficients of a rule that conserves relevance add up to 1.
        gate: 1 gives relevance only where the layer's own output z is positive, −1 only where it is negative, 0
            everywhere.

    Raises ValueError where one of these does not hold.

    Example: `Share((Term(PLUS, PLUS, PLUS), Term(MINUS, MINUS)))` is the z⁺ rule.
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
        """Return the bounds of the model's input, low and high, of a share that has them."""
        low = next(t.x.low for t in self.terms if isinstance(t.x, Above))
        return low, next(t.x.high for t in self.terms if isinstance(t.x, Below))


IN_PROPORTION = (Share((Term(SAME, SAME, SAME),)),)
"""The shares of the ε rules. Steps without weights, such as sums, know these and `EVENLY` alone."""
EVENLY = (Share((Term(ONE, ONE),)),)
"""The shares of the flat rule."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """Base of all rules.

    Parameters:
        epsilon: the stabiliser's ε, at least 0; with 0, and `relative` 0, nothing is given where d = 0.
        relative: the stabiliser's ρ, at least 0.
        zero_params: "bias" leaves the bias out of z and of every d.

    Raises InputError where a parameter is none of these.
    """

    epsilon: float = 1e-6
    relative: float = 0.0
    zero_params: Literal["bias"] | None = None

    reads_activation: ClassVar[bool] = False
    """True for a rule that takes relevance for an activation, never negative: the plan warns where it may be
    negative."""

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon < math.inf and 0 <= self.relative < math.inf):
            raise InputError(f"{type(self).__name__}: epsilon and relative must be finite and not negative")
        if self.zero_params not in (None, "bias"):
            raise InputError(f'{type(self).__name__}: zero_params is None or "bias", not {self.zero_params!r}')

    def shares(self) -> tuple[Share, ...]:
        """Return the shares of the rule; what they give to the input is added up."""
        raise NotImplementedError

    def __str__(self) -> str:
        """As it is written in Python and on the command line, defaults left out."""
        given = [
            f"{f.name}={_short(getattr(self, f.name))}"
            for f in dataclasses.fields(self)
            if f.default is dataclasses.MISSING or getattr(self, f.name) is not f.default
            if not (isinstance(getattr(self, f.name), float) and getattr(self, f.name) == f.default)
        ]
        return f"{type(self).__name__}({', '.join(given)})" if given else type(self).__name__


@dataclasses.dataclass(frozen=True)
class LRP0(Rule):
    """`x · fᵀ(R / z)`, share 0 wherever z = 0 (Bach et al. 2015)."""

    epsilon: float = 0.0

    def shares(self) -> tuple[Share, ...]:
        return IN_PROPORTION


@dataclasses.dataclass(frozen=True)
class Epsilon(Rule):
    """`x · fᵀ(R / s(z))`, z with bias (Bach et al. 2015)."""

    epsilon: float = 1e-6
    relative: float = 0.0

    def shares(self) -> tuple[Share, ...]:
        return IN_PROPORTION


@dataclasses.dataclass(frozen=True)
class Norm(Epsilon):
    """`Epsilon` for steps without parameters: sums, average pools, linear resizes."""


@dataclasses.dataclass(frozen=True)
class Pass(Rule):
    """`R_in = R`."""

    def shares(self) -> tuple[Share, ...]:
        raise InputError("Pass needs an output of the input's shape; this layer mixes its inputs")


@dataclasses.dataclass(frozen=True)
class Gamma(Rule):
    """Generalised γ rule, for inputs of any sign (Andéol et al. 2021): positive outputs favour positive
    contributions, negative outputs favour negative ones, by the factor 1 + γ."""

    gamma: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.gamma < math.inf:
            raise InputError("Gamma: gamma must be finite and not negative")

    def shares(self) -> tuple[Share, ...]:
        up, down = Modifier(same=1, plus=self.gamma), Modifier(same=1, minus=self.gamma)
        return (
            Share((Term(PLUS, up, up), Term(MINUS, down)), gate=1),
            Share((Term(PLUS, down, down), Term(MINUS, up)), gate=-1),
        )


@dataclasses.dataclass(frozen=True)
class ZPlus(Rule):
    """Positive contributions only (Montavon et al. 2017)."""

    reads_activation: ClassVar[bool] = True

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(PLUS, PLUS, PLUS), Term(MINUS, MINUS))),)


@dataclasses.dataclass(frozen=True)
class AlphaBeta(Rule):
    """α times the positive contributions minus β times the negative ones, α − β = 1 (Bach et al. 2015)."""

    alpha: float = 2.0
    beta: float = 1.0

    reads_activation: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.alpha >= 0 and self.beta >= 0 and abs(self.alpha - self.beta - 1) <= 1e-12):
            raise InputError(
                f"AlphaBeta: alpha − beta must be 1 and both at least 0, not alpha={self.alpha}, beta={self.beta}"
            )

    def shares(self) -> tuple[Share, ...]:
        positive = Share((Term(PLUS, PLUS, PLUS), Term(MINUS, MINUS)), self.alpha)
        negative = Share((Term(PLUS, MINUS, MINUS), Term(MINUS, PLUS)), -self.beta)
        return (positive, negative) if self.beta else (positive,)


@dataclasses.dataclass(frozen=True)
class ZBox(Rule):
    """For inputs between `low` and `high` (Montavon et al. 2017): bounds of the *model's* input, carried through the
    affine operators before the layer.

    `d = f(x − l; w⁺) + f(x − h; w⁻)`, and back the same: the bias and one of three products cancel out.
    """

    low: Bound = dataclasses.field(default=-1.0, hash=False)
    high: Bound = dataclasses.field(default=1.0, hash=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            low, high = (np.asarray(bound, np.float64) for bound in (self.low, self.high))
        except (TypeError, ValueError) as e:
            raise InputError(f"ZBox: a bound is a number or an array of numbers: {e}") from e
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InputError("ZBox: low and high must be finite")
        comparable = low.shape == high.shape or 1 in (low.size, high.size)
        if comparable and (low > high).any():
            raise InputError("ZBox: low must not be above high")

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(Above(self.low), PLUS), Term(Below(self.high), MINUS))),)


@dataclasses.dataclass(frozen=True)
class WSquare(Rule):
    """In proportion to the squared weights, whatever the input (Montavon et al. 2017)."""

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(ONE, SQUARE, SQUARE),)),)


@dataclasses.dataclass(frozen=True)
class Flat(Rule):
    """Evenly over the receptive field (Bach et al. 2016)."""

    def shares(self) -> tuple[Share, ...]:
        return EVENLY


RULES: Mapping[str, type[Rule]] = {
    r.__name__: r for r in (LRP0, Epsilon, Norm, Pass, Gamma, ZPlus, AlphaBeta, ZBox, WSquare, Flat)
}


def _short(value: object) -> str:
    text = repr(value.tolist() if hasattr(value, "tolist") else value)
    return text if len(text) <= 60 else text[:57] + "..."


def call(text: str, names: Mapping[str, Any]) -> Any:
    """`"Gamma(0.1)"` -> `names["Gamma"](0.1)`: a name and literals, nothing is evaluated.

    Raises InputError with the known names where the text is anything else.
    """
    known = ", ".join(names)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        function = tree.func if isinstance(tree, ast.Call) else tree
        if not isinstance(function, ast.Name) or function.id not in names:
            raise InputError(f"{text!r} is not known; there are: {known}")
        positional = [ast.literal_eval(a) for a in tree.args] if isinstance(tree, ast.Call) else []
        named = {str(k.arg): ast.literal_eval(k.value) for k in tree.keywords} if isinstance(tree, ast.Call) else {}
    except (SyntaxError, ValueError) as e:
        raise InputError(f"{text!r} cannot be read; write a name with numbers, like Gamma(0.1); known: {known}") from e
    try:
        return names[function.id](*positional, **named)
    except TypeError as e:
        parameters = inspect.signature(names[function.id]).parameters.values()
        form = ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters)
        raise InputError(f"{text!r} does not fit: write {function.id}({form})") from e


def parse(text: str) -> Rule:
    """A rule from its text, as on the command line: `"ZPlus"`, `"Gamma(0.1)"`, `"ZBox(low=-1, high=1)"`."""
    return call(text, RULES)
