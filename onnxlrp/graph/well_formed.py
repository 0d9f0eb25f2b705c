"""Laws of every graph: names are unique, and a value is computed before it is read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

import onnx_ir as ir

from onnxlrp.graph.call import graphs_of

Law = Callable[[ir.Model], Iterable[str]]
"""A sentence about a model that is to hold; it yields what violates it, in words."""


def violations(model: ir.Model, laws: Iterable[Law]) -> list[str]:
    """Collect what violates some laws, each with the name of the law."""
    return [f"{law.__name__}: {found}" for law in laws for found in law(model)]


def nodes_have_names_of_their_own(model: ir.Model) -> Iterator[str]:
    """No two nodes of one graph have the same name; a body may use a name again."""
    for graph in (model.graph, *model.graph.subgraphs()):
        yield from repeated(node.name for node in graph)


def values_have_names_of_their_own(model: ir.Model) -> Iterator[str]:
    """No value has the name of another one of its graph, or of one around its body that is computed by then."""
    yield from _names(model.graph, {})


def values_are_computed_before_they_are_read(model: ir.Model) -> Iterator[str]:
    yield from _read_too_early(model.graph, set())


def operators_have_a_version(model: ir.Model) -> Iterator[str]:
    """One version of each domain holds for the whole model."""
    for node in model.graph.all_nodes():
        if node.domain not in model.graph.opset_imports:
            yield f"no version of {node.domain!r} for {node.op_type} {node.name!r}"


STRUCTURE: tuple[Law, ...] = (
    nodes_have_names_of_their_own,
    values_have_names_of_their_own,
    values_are_computed_before_they_are_read,
    operators_have_a_version,
)


def repeated(names: Iterable[str | None]) -> Iterator[str]:
    """Yield the names that occur a second time, and those that are empty."""
    seen: set[str] = set()
    for name in names:
        if not name or name in seen:
            yield repr(name)
        seen.add(name or "")


def _names(graph: ir.Graph, around: dict[str, ir.Value]) -> Iterator[str]:
    taken = dict(around)
    # An initializer that is an input as well is one value.
    yield from _taken([*graph.inputs, *graph.initializers.values()], taken)
    for node in graph:
        for body in graphs_of(node):
            yield from _names(body, taken)
        yield from _taken([v for v in node.outputs if v.name != "" or v.uses()], taken)


def _taken(values: Iterable[ir.Value], taken: dict[str, ir.Value]) -> Iterator[str]:
    for value in values:
        if not value.name or taken.get(value.name, value) is not value:
            yield repr(value.name)
        taken[str(value.name)] = value


def _read_too_early(graph: ir.Graph, around: Collection[ir.Value]) -> Iterator[str]:
    known = {*around, *graph.inputs, *graph.initializers.values()}
    for node in graph:
        yield from (f"{node.name!r} reads {v.name!r}" for v in node.inputs if v is not None and v not in known)
        for body in graphs_of(node):
            yield from _read_too_early(body, known)
        known.update(node.outputs)
    yield from (f"the output {v.name!r}" for v in graph.outputs if v not in known)
