"""Result of a part of the tool, and the verdict on one call with an odd value."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from onnxlrp.errors import DefectError, InputError, TargetError
from tests.test_printable import RAW

_LONGEST = 2000
"""Characters of a message that fits a screen."""


@dataclasses.dataclass(frozen=True)
class Found:
    """Row of the table: the number of trials, their result, and the faults."""

    tried: str
    result: str
    faults: tuple[str, ...] = ()


@dataclasses.dataclass
class Tally:
    """Counts of calls with the right result and of refusals in a sentence, and a list of all others."""

    right: int = 0
    refused: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def judge(self, name: str, call: Callable[[], Any], meant: Any) -> None:
        """Count one call: it must give `meant`, or raise an InputError that a person can read.

        `meant` is an array, or a function that says what is wrong. If it is None, only the error is right.
        """
        name = " ".join(name.split())
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = call()
        except (InputError, TargetError) as error:
            self.refused += 1
            self._hear(name, str(error))
        except DefectError as error:
            self.faults.append(f"{name}: {error.__cause__!r:.200}")
        except BaseException as error:
            self.faults.append(f"{name}: {type(error).__name__}: {error!s:.200}")
        else:
            self.right += 1
            self._compare(name, found, meant)

    def found(self, things: str) -> Found:
        """Make the row of the table; `things` names what was counted."""
        count = self.right + self.refused + len(self.faults)
        result = f"{self.right:,} right, {self.refused:,} refused in a sentence, {len(self.faults)} otherwise"
        return Found(f"{count:,} {things}", result, tuple(self.faults))

    def _hear(self, name: str, words: str) -> None:
        if not words or len(words) > _LONGEST or RAW.search(words):
            self.refused -= 1
            self.faults.append(f"{name}: its message is no sentence of at most a screen: {words[:80]!r}")

    def _compare(self, name: str, found: Any, meant: Any) -> None:
        wrong = (
            "" if callable(meant) else "it was taken, and means nothing" if meant is None else _differs(found, meant)
        )
        wrong = meant(found) if callable(meant) else wrong
        if wrong:
            self.right -= 1
            self.faults.append(f"{name}: {wrong}")


def _differs(found: np.ndarray, meant: np.ndarray) -> str:
    same = found.shape == meant.shape and np.array_equal(found, meant, equal_nan=found.dtype.kind == "f")
    return "" if same else "it gives other numbers than it means"
