"""Keys of nodes that were built: equal arguments make equal keys, so that equal nodes are built once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir


class Same:
    """Wrapper of an object that equals itself alone. It keeps the object alive, because another could get its id."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.kept is other.kept

    def __hash__(self) -> int:
        return id(self.kept)


def argument_key(argument: Any) -> Any:
    """Make a key that is equal for equal arguments; values of the graph are compared as the objects they are."""
    if isinstance(argument, (ir.Value, int, float, str, bool, type(None))):
        return (type(argument), argument)
    if isinstance(argument, (list, tuple)):
        return tuple(argument_key(a) for a in argument)
    raise TypeError


def is_removed(result: Any) -> bool:
    """Decide whether any value of a result belongs to a graph no longer, neither as a node's output nor as an input."""
    if isinstance(result, ir.Value):
        node = result.producer()
        if node is not None:
            return node.graph is None
        return not result.is_initializer() and not result.is_graph_input()
    return isinstance(result, Sequence) and not isinstance(result, str) and any(is_removed(part) for part in result)
