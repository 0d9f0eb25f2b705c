"""The relevance of one value while the walk collects it: amounts R, and factors c with R = carrier · c."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.plan import Step


class Stand(enum.Enum):
    """What a factor's carrier is to the value whose relevance it makes."""

    ITSELF = enum.auto()
    RECTIFIED = enum.auto()
    """A ReLU's output: 0 wherever the value is not above 0, and elsewhere equal. To read it and not the value leaves
    the runtime's fusion of layer and ReLU alone."""
    CUT = enum.auto()
    """What a Clip, say, makes of the value: 0 wherever it is not above 0."""
    SIGN = enum.auto()
    """What another activation makes of it: it has the value's sign, or is 0."""


@dataclasses.dataclass(frozen=True)
class Won:
    """A factor that a pool's winners brought back: it may be multiplied and divided by values before it is, at the
    pool's output, which is smaller; a winner has the output's value."""

    factor: ir.Value
    """At the output."""
    carrier: ir.Value
    """The output."""
    back: Callable[[ir.Value], ir.Value]
    """What is at the output, to the winners; 0 to all others."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A contribution: an amount where `carrier` is None, else a factor of the carrier."""

    tensor: ir.Value
    carrier: ir.Value | None = None
    stand: Stand = Stand.ITSELF
    sender: Step | None = None
    """Where it comes from; None of a seed."""
    won: Won | None = None
    """Where the tensor comes from, if the carrier's winners have it."""


class Relevance:
    """Everything that arrived at one value."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def add(self, part: Part) -> None:
        """One contribution more."""
        self.parts.append(part)

    @property
    def carrier(self) -> ir.Value | None:
        """The carrier that all parts share, None where they are amounts or do not agree."""
        carriers = {p.carrier for p in self.parts}
        return next(iter(carriers)) if len(carriers) == 1 else None

    @property
    def stand(self) -> Stand:
        """What the carrier is to the value, where there is one."""
        return self.parts[0].stand

    @property
    def won(self) -> Won | None:
        """Where all of it comes from, if winners have it."""
        return self.parts[0].won if len(self.parts) == 1 else None
