"""The relevance of one value while the walk collects it: amounts R, and factors c with R = carrier · c."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.plan import Step


@dataclasses.dataclass(frozen=True)
class Part:
    """A contribution: an amount where `carrier` is None, else a factor of the carrier.

    The carrier is the value itself or a stand-in for it: what an activation behind it makes of it, which has the same
    sign or is 0. `rectified`: it is 0 wherever the value is not above 0, as what a ReLU or a Clip makes of it. Of a
    ReLU the two are equal wherever this relevance is not 0, and reading the stand-in leaves the runtime's fusion of
    layer and ReLU alone.
    """

    tensor: ir.Value
    carrier: ir.Value | None = None
    rectified: bool = False
    sender: Step | None = None
    """Where it comes from; None of a seed."""


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
    def rectified(self) -> bool:
        """Whether it lives only where the value is above 0."""
        return all(p.rectified for p in self.parts)
