"""Describe the parts of an output that is explained piece by piece, in the words of the plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import onnx_ir as ir

from onnxlrp.graph.call import Call

_MOST_PARTS = 12
"""Largest number of parts that the plan lists; if there are more, it lists this many, without their elements."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A value that is explained in place of some elements of the output."""

    value: str
    sign: int
    """The sign with which the value is explained: +1, −1, or 0 if it differs between elements."""
    function: str
    """The operator whose argument the value is; empty if the value itself is explained."""
    elements: str = ""
    """The elements of the output in whose place the value is explained; empty for all."""

    def __str__(self) -> str:
        what = f"{self.value!r}" + (f", the argument of {self.function}" if self.function else "")
        sign = {1: "", -1: "minus ", 0: "with a sign of its own for each element, "}[self.sign]
        return f"{self.elements + ': ' if self.elements else ''}{sign}{what}"


def put_together(node: ir.Node, operands: Mapping[int, Sequence[Part]]) -> tuple[Part, ...]:
    """Collect the parts of a node's output from the parts of the operands that it joins."""
    parts: list[Part] = []
    joined = (node.domain, node.op_type) == ("", "Concat") and len(node.inputs) > 1
    ends = _ends(node) if joined else {}
    for index, found in operands.items():
        where = ends.get(index, f"operand {index} of {node.op_type} {node.name!r}") if len(operands) > 1 else ""
        for part in found:
            elements = ", ".join(p for p in (where, part.elements) if p)
            parts.append(dataclasses.replace(part, elements=elements))
    return _told_apart(parts)


def _told_apart(parts: Sequence[Part]) -> tuple[Part, ...]:
    """List the parts with their elements; the elements are left out if all parts are otherwise equal or there are too
    many parts."""
    different = dict.fromkeys(dataclasses.replace(p, elements="") for p in parts)
    return tuple(different)[:_MOST_PARTS] if len(different) == 1 or len(parts) > _MOST_PARTS else tuple(parts)


def _ends(node: ir.Node) -> dict[int, str]:
    """Describe the elements that each operand of a concatenation fills, as far as the sizes are known."""
    rank = len(node.outputs[0].shape or ())
    axis = int(Call.of(node).attr("axis", 0)) % max(rank, 1)
    places: dict[int, str] = {}
    start = 0
    for index, value in enumerate(node.inputs):
        size = value.shape[axis] if value is not None and value.shape else None
        if not isinstance(size, int):
            break
        places[index] = elements_of(axis, start, start + size)
        start += size
    return places


def elements_of(axis: int, start: int, stop: int) -> str:
    """Describe some elements along an axis, `stop` not included."""
    return f"element {start} of axis {axis}" if stop == start + 1 else f"elements {start} to {stop - 1} of axis {axis}"
