"""What all draws share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.operators.case import Case

Array = np.ndarray
DRAWS: dict[str, list[Callable[[], SearchStrategy[Case]]]] = {}
"""Operator -> strategies of cases."""


def draws(*operators: str) -> Callable:
    """Enter a function of (draw, operator) as a strategy of cases of these operators."""

    def enter(function: Callable[[DrawFn, str], Case]) -> Callable[[DrawFn, str], Case]:
        for operator in operators:
            make = st.composite(lambda draw, operator=operator: function(draw, operator))
            DRAWS.setdefault(operator, []).append(make)
        return function

    return enter


def dims(draw: DrawFn, least: int = 1, most: int = 4, low: int = 1, high: int = 4) -> tuple[int, ...]:
    """A shape."""
    return tuple(draw(st.lists(st.integers(low, high), min_size=least, max_size=most), label="shape"))


def random(draw: DrawFn) -> np.random.Generator:
    """Numbers that go with the example."""
    return np.random.default_rng(draw(st.integers(0, 1000), label="seed"))


def normal(draw: DrawFn, shape: Sequence[int]) -> Array:
    return random(draw).normal(size=tuple(shape))


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def pick(draw: DrawFn, *choices: Any) -> Any:
    """One of a few values."""
    return draw(st.sampled_from(choices))


def each(draw: DrawFn, count: int, low: int, high: int) -> list[int]:
    """A list of `count` integers."""
    return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
