"""Names that a model does not use yet."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir


class Names:
    """The names of all values of a graph and of the bodies in it: what is new in one must not be hidden by another."""

    def __init__(self, graph: ir.Graph) -> None:
        self._taken = {str(value.name) for part in (graph, *graph.subgraphs()) for value in _values(part)}

    def unique(self, name: str) -> str:
        """The name itself, or with `_1`, `_2` … where that is taken; from now on it is."""
        candidate, count = name, 0
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
