"""The readers of a value: whether there are any, whether there is one, and how they are made to read another value."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import onnx_ir as ir

Reader = tuple[ir.Node, int]
"""A node, and the place among its operands at which it reads a value."""


def is_read(value: ir.Value) -> bool:
    """Decide whether a node reads a value, or the graph hands it out."""
    return bool(value.uses()) or value.is_graph_output()


def sole_reader(value: ir.Value) -> Reader | None:
    """Find the one place where a value is read; None where there are several, or where it is an output."""
    uses = list(value.uses())
    return uses[0] if len(uses) == 1 and not value.is_graph_output() else None


def redirect(readers: Iterable[Reader], value: ir.Value) -> None:
    """Make some readers of a value read another."""
    for node, index in list(readers):
        node.replace_input_with(index, value)


def read_copies(graph: ir.Graph, is_own: Callable[[ir.Node], bool], copy: Callable[[ir.Value], ir.Value]) -> None:
    """Make all nodes but own ones read copies of the values that own nodes compute.

    `copy` returns the value itself if they may read that.
    """
    for node in list(graph):
        for value in node.outputs if is_own(node) else ():
            readers = [use for use in value.uses() if not is_own(use.node)]
            if readers and (other := copy(value)) is not value:
                redirect(readers, other)
