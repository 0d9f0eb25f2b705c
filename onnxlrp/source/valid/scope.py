"""Hold the surroundings of a node that is checked: operator sets, the model's own functions, and the names that it can
read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from onnxlrp.trees.held_columns import HeldColumns

Signature = tuple[int, int]
"""The numbers of inputs and outputs of a function of the model."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """The operator sets, functions, names and columns that a graph is checked against."""

    opsets: Mapping[str, int]
    functions: Mapping[tuple[str, str, str], Signature]
    held: HeldColumns = dataclasses.field(default_factory=HeldColumns)
    """The columns of tree ensembles that were taken out of the model."""
    names: tuple[AbstractSet[str], ...] = ()
    """The names in each graph around, the nearest graph last."""
    earlier: tuple[AbstractSet[str], ...] = ()
    """The names in each graph around that are computed before the node that holds this graph; no value inside may have
    one of them."""
    in_function: bool = False

    def inner(self, names: AbstractSet[str], earlier: AbstractSet[str]) -> Scope:
        """Make the scope of a graph inside the graph of this scope: `names` are the names of that outer graph,
        `earlier` those of them that are computed already."""
        return dataclasses.replace(self, names=(*self.names, names), earlier=(*self.earlier, earlier))

    def has(self, name: str) -> bool:
        """Decide whether a graph around holds a value of this name."""
        return any(name in names for names in self.names)

    def had(self, name: str) -> bool:
        """Decide whether a graph around holds a value of this name that is computed before the node that holds this
        graph."""
        return any(name in names for names in self.earlier)
