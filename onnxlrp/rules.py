"""Relevance rules, as data.

A rule for a linear layer `z = f(x; w, b)` is a list of shares. A share has a denominator, the sum of a few *terms*
`f(modified x; modified w, modified b)`, and gives `coefficient · Σ_terms modified x · fᵀ(R / s(d); modified w)` to the
input. No rule names an operator: each operator knows how it runs on modified operands and how it is transposed.

`s(d) = d + sgn(d)·(ε + ρ·rms(d))` is the stabiliser, with ε = `epsilon`, ρ = `relative` and sgn(0) = 1.

```python
from onnxlrp.rules import Gamma, ZPlus

explained = onnxlrp.convert("model.onnx", rules=[("/layer4/*", Gamma(0.1)), ("Gemm", ZPlus(epsilon=1e-3))])
```
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.reprs import Brief, changed_fields, field_text
from onnxlrp.rule_language import (
    EVENLY,
    IN_PROPORTION,
    MINUS,
    ONE,
    PLUS,
    SAME,
    SQUARE,
    Above,
    Below,
    Bound,
    Modifier,
    Share,
    Term,
)
from onnxlrp.written_calls import call

__all__ = [
    "LRP0",
    "MINUS",
    "ONE",
    "PLUS",
    "RULES",
    "SAME",
    "SQUARE",
    "Above",
    "AlphaBeta",
    "Below",
    "Bound",
    "Epsilon",
    "Flat",
    "Gamma",
    "Modifier",
    "Norm",
    "Pass",
    "Rule",
    "Share",
    "Term",
    "WSquare",
    "ZBox",
    "ZPlus",
    "call",
    "parse",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule(Brief):
    """Base of all rules. A rule of your own is a frozen dataclass that derives from it and returns its `shares`.

    Parameters
    ----------
    epsilon
        ε of the stabiliser, in the units of the layer's output, at least 0. Default: 1e-6.
    relative
        ρ of the stabiliser, the fraction of the denominators' root mean square in it, at least 0. Default: 0.
    zero_params
        `"bias"` sets the bias to 0 in outputs and denominators, so that it keeps no relevance. Default: None.
    stabiliser
        The way in which ε keeps denominators d away from 0. `"add"` (default) adds it, `d + sgn(d)·ε`; `"clamp"` lets
        no denominator be smaller, `sgn(d)·max(|d|, ε)`, so that ε takes a share only where |d| is below it, and
        float32 rounds less in networks of convolutions.

    Raises
    ------
    InputError
        A value is out of its range.

    Examples
    --------
    ```python
    import dataclasses

    from onnxlrp.rules import ONE, SAME, Rule, Share, Term


    @dataclasses.dataclass(frozen=True)
    class Evenly(Rule):  # half as ε, half evenly over the inputs
        def shares(self):
            return (Share((Term(SAME, SAME, SAME),), 0.5), Share((Term(ONE, ONE),), 0.5))


    explained = onnxlrp.convert("model.onnx", rules=[("Conv", Evenly())])
    ```
    """

    epsilon: float = 1e-6
    relative: float = 0.0
    zero_params: Literal["bias"] | None = None
    stabiliser: Literal["add", "clamp"] = "add"

    reads_activation: ClassVar[bool] = False
    """True for a rule that assumes relevance to be that of an activation, never negative: the plan warns if it may be
    negative."""

    def __post_init__(self) -> None:
        if not (0 <= self.epsilon < math.inf and 0 <= self.relative < math.inf):
            raise InputError(f"{type(self).__name__}: epsilon and relative must be finite and not negative")
        if self.zero_params not in (None, "bias"):
            raise InputError(f'{type(self).__name__}: zero_params is None or "bias", not {self.zero_params!r}')
        if self.stabiliser not in ("add", "clamp"):
            raise InputError(f'{type(self).__name__}: stabiliser is "add" or "clamp", not {self.stabiliser!r:.80}')

    def shares(self) -> tuple[Share, ...]:
        """Return the shares of the rule, each with its terms and its denominator."""
        raise NotImplementedError

    def __str__(self) -> str:
        """Write the rule as in Python and on the command line, without defaults."""
        given = [f"{f.name}={field_text(getattr(self, f.name))}" for f in changed_fields(self)]
        return f"{type(self).__name__}({', '.join(given)})" if given else type(self).__name__


@dataclasses.dataclass(frozen=True)
class LRP0(Rule):
    """LRP-0, `x · fᵀ(R / z)`: shares relevance in proportion to the contributions, and gives none wherever z = 0 (Bach
    et al. 2015).

    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Gemm", LRP0())])
    ```
    """

    epsilon: float = 0.0

    def shares(self) -> tuple[Share, ...]:
        return IN_PROPORTION


@dataclasses.dataclass(frozen=True)
class Epsilon(Rule):
    """LRP-ε, `x · fᵀ(R / s(z))`: shares relevance in proportion to the contributions; ε and the bias keep a part (Bach
    et al. 2015).

    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Gemm", Epsilon(1e-3))])
    ```
    """

    epsilon: float = 1e-6
    relative: float = 0.0

    def shares(self) -> tuple[Share, ...]:
        return IN_PROPORTION


@dataclasses.dataclass(frozen=True)
class Norm(Epsilon):
    """`Epsilon` for steps without parameters: sums, average pools, linear resizes.

    ```python
    from onnxlrp.composites import Composite


    class Ours(Composite):  # ε everywhere, a larger one at sums
        @property
        def norm(self):
            return Norm(1e-3)


    explained = onnxlrp.convert("model.onnx", composite=Ours())
    ```
    """


@dataclasses.dataclass(frozen=True)
class Pass(Rule):
    """Relevance passes unchanged, element by element: for elementwise steps, such as a batch norm or an added constant.

    ```python
    from onnxlrp.composites import Composite


    class Ours(Composite):  # ε everywhere, batch norms pass
        @property
        def batch_norm(self):
            return Pass()


    explained = onnxlrp.convert("model.onnx", composite=Ours())
    ```
    """

    def shares(self) -> tuple[Share, ...]:
        raise InputError("Pass needs an output of the input's shape; this layer mixes its inputs")


@dataclasses.dataclass(frozen=True)
class Gamma(Rule):
    """Generalised γ rule, for inputs of any sign (Andéol et al. 2021): positive outputs favour positive
    contributions, negative outputs favour negative ones, by the factor 1 + γ.

    Parameters
    ----------
    gamma
        γ, at least 0. Default: 0.25. At 0 the rule is LRP-ε, for large values it nears z⁺.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", Gamma(0.1))])
    ```
    """

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
    """z⁺: shares relevance in proportion to the positive contributions (Montavon et al. 2017).

    The rule takes relevance to be that of an activation, which is never negative; the plan warns where it may be
    negative.

    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", ZPlus())])
    ```
    """

    reads_activation: ClassVar[bool] = True

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(PLUS, PLUS, PLUS), Term(MINUS, MINUS))),)


@dataclasses.dataclass(frozen=True)
class AlphaBeta(Rule):
    """αβ: gives α times the share of the positive contributions minus β times that of the negative ones (Bach et al.
    2015).

    Parameters
    ----------
    alpha, beta
        α and β, at least 0, with α − β = 1. Default: 2 and 1.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", AlphaBeta(2, 1))])
    ```
    """

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
    """z-box, for a layer whose inputs lie between two bounds, such as pixels (Montavon et al. 2017).

    `d = f(x − l; w⁺) + f(x − h; w⁻)`, and the transpose with the same operands. This equals the usual form of three
    products and a bias, of which one product and the bias cancel out.

    Parameters
    ----------
    low, high
        Bounds of the *model's* input, which are carried through the affine operators upstream of the layer: a number,
        one number for each channel, or an array of the input's shape. Default: −1 and 1.

    Examples
    --------
    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", ZBox(low=0, high=1))])
    ```
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
    """w²: shares relevance in proportion to the squared weights, whatever the input (Montavon et al. 2017).

    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", WSquare())])
    ```
    """

    def shares(self) -> tuple[Share, ...]:
        return (Share((Term(ONE, SQUARE, SQUARE),)),)


@dataclasses.dataclass(frozen=True)
class Flat(Rule):
    """Flat: shares relevance evenly among all inputs that an output depends on (Bach et al. 2016).

    ```python
    explained = onnxlrp.convert("model.onnx", rules=[("Conv", Flat())])
    ```
    """

    def shares(self) -> tuple[Share, ...]:
        return EVENLY


RULES: Mapping[str, type[Rule]] = {
    r.__name__: r for r in (LRP0, Epsilon, Norm, Pass, Gamma, ZPlus, AlphaBeta, ZBox, WSquare, Flat)
}
"""Rules of onnxlrp by name."""


def parse(text: str) -> Rule:
    """Read a rule from its text, as the command line does: `"ZPlus"`, `"Gamma(0.1)"`, `"ZBox(low=-1, high=1)"`.

    Raises InputError, with the known names, for any other text.
    """
    rule: Rule = call(text, RULES)
    return rule
