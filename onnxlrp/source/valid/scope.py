"""The surroundings of a node that is checked: operator sets, the model's own functions, the names that can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Signature = tuple[int, int]
"""How many inputs and outputs a function of the model has."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a graph is checked against."""

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str, str], Signature]
    names: frozenset[str] = frozenset()
    """Values of the graphs around this one."""
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The types of those of them that are known, as onnx writes them: "tensor(float)"."""
    depth: int = 0
    in_function: bool = False

    def inner(self, names: frozenset[str], types: Mapping[str, str]) -> Scope:
        """The scope of a graph inside this one's graph."""
        return dataclasses.replace(self, names=names, types=types, depth=self.depth + 1)
