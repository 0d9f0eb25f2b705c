"""Numbers as people read them: few digits, and no exponent for amounts of money and the like."""

from __future__ import annotations

from typing import Any

import numpy as np

_LARGE = 1e12
"""Size from which a number is written with an exponent."""


def significant(value: float, digits: int = 4) -> str:
    """Write an amount with so many significant digits, and −0 as 0.

    From the size on at which that would take an exponent, it is written in full: `"0.3143"`, `"1,203,457"`, `"2e+12"`.
    """
    number = float(value) + 0.0
    in_full = 10**digits - 0.5 <= abs(number) < _LARGE
    return f"{number:,.0f}" if in_full else f"{number:.{digits}g}"


def four_digits(value: float) -> str:
    """Write an amount with four significant digits, as `significant` does."""
    return significant(value)


def in_digits(value: float) -> str:
    """Write an amount with four digits for a figure, with a minus sign as the axes have it."""
    return ("−" if value < 0 else "") + four_digits(abs(value))


def value_words(value: Any) -> str:
    """Write the value of a feature: a number with six significant digits, large ones in full but without separators,
    since they may be numbers of accounts; NaN and None as "missing"."""
    if value is None or (isinstance(value, (float, np.floating)) and np.isnan(value)):
        return "missing"
    if not isinstance(value, (float, np.floating)):
        return str(value)
    number = float(value) + 0.0
    return f"{number:.0f}" if 1e6 - 0.5 <= abs(number) < _LARGE else f"{number:.6g}"
