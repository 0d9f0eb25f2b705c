"""Choice of names that a model does not use yet."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.call import values_in


class Names:
    """Names of all values of a graph and of its bodies: a new name differs from all, so that no body hides it."""

    def __init__(self, graph: ir.Graph) -> None:
        self._taken = {str(value.name) for part in (graph, *graph.subgraphs()) for value in values_in(part)}

    def unique(self, name: str) -> str:
        """Return the name itself, or with `_1`, `_2` … if that is used already; from now on it is used."""
        candidate, count = name, 0
        while candidate in self._taken:
            count += 1
            candidate = f"{name}_{count}"
        self._taken.add(candidate)
        return candidate


def unused_scope(graph: ir.Graph, scope: str) -> str:
    """Return a prefix of names, the scope itself or with `_1`, `_2` …, with which no initializer of a graph begins.

    A model that onnxlrp has written already, and whose metadata another tool has removed, has constants of that scope.
    """
    used = {name.split(".", 1)[0] for name in graph.initializers if "." in name}
    candidate, count = scope, 0
    while candidate in used:
        count += 1
        candidate = f"{scope}_{count}"
    return candidate
