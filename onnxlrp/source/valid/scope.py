"""The surroundings of a node that is checked: operator sets, the model's own functions, the names that can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

Signature = tuple[int, int]
"""How many inputs and outputs a function of the model has."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """What a graph is checked against."""

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str, str], Signature]
    names: tuple[AbstractSet[str], ...] = ()
    """Values of the graphs around, the nearest one's last."""
    earlier: tuple[AbstractSet[str], ...] = ()
    """Those of them that are there before the node that holds this graph: no value inside may have their names."""
    in_function: bool = False

    def inner(self, names: AbstractSet[str], earlier: AbstractSet[str]) -> Scope:
        """The scope of a graph inside this one's graph, which has these names."""
        return dataclasses.replace(self, names=(*self.names, names), earlier=(*self.earlier, earlier))

    def has(self, name: str) -> bool:
        """Decide whether a graph around has the name."""
        return any(name in names for names in self.names)

    def had(self, name: str) -> bool:
        """Decide whether a graph around has the name from before."""
        return any(name in names for names in self.earlier)
