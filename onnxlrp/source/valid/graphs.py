"""Check graphs: no two values share a name, every name that is read exists, and bodies fit the nodes that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx

from onnxlrp.source.valid import body_interfaces, nodes, tensors
from onnxlrp.source.valid.inner import inner_graphs, reads
from onnxlrp.source.valid.refusal import node_refusal, refusal
from onnxlrp.source.valid.scope import Scope

_DEEPEST = 30
"""Deepest nesting of graphs: protocol buffers themselves can be read up to 100 levels deep, and a graph takes three."""


def check(graph: onnx.GraphProto, scope: Scope) -> None:
    """Raise InvalidModelError if a graph, or one inside it, contradicts itself."""
    if len(scope.names) > _DEEPEST:
        raise refusal(f"graphs lie inside each other more than {_DEEPEST} deep")
    given = _given(graph)
    _check_nodes(graph.node, given, scope)
    for value in graph.output:
        if not isinstance(value.name, str) or not value.name:
            raise refusal("an output of a graph has no name")
        if scope.names and value.name not in given and not scope.has(value.name):
            raise refusal(f"the output {value.name!r} of a body is computed by no node")


def check_function(function: onnx.FunctionProto, scope: Scope) -> None:
    """Raise InvalidModelError if the body of a function contradicts itself."""
    given = _once(function.input, f"inputs of the function {function.name!r}")
    _check_nodes(function.node, given, scope)
    for name in function.output:
        if name not in given:
            raise refusal(f"the output {name!r} of the function {function.name!r} is computed by no node")


def _given(graph: onnx.GraphProto) -> set[str]:
    """Check a graph's inputs and initializers, and return their names."""
    for tensor in graph.initializer:
        tensors.check(tensor, f"the weights of {tensor.name!r}", refusal)
    for sparse in graph.sparse_initializer:
        tensors.check_sparse(sparse, f"the weights of {sparse.values.name!r}", refusal)
    _check_declared(graph)
    # Several initializers may share a name: the last one counts.
    weights = _once(
        {*(t.name for t in graph.initializer), *(s.values.name for s in graph.sparse_initializer)}, "initializers"
    )
    # An initializer may be listed as an input, even twice.
    return weights | _once([v.name for v in graph.input if v.name not in weights], "inputs")


def _check_declared(graph: onnx.GraphProto) -> None:
    """Raise InvalidModelError if an initializer is also an input that is declared with another type or other sizes."""
    inputs = {value.name: value.type.tensor_type for value in graph.input}
    for tensor in graph.initializer:
        declared = inputs.get(tensor.name)
        if declared is None or not declared.elem_type:
            continue
        sizes = [d.dim_value if d.HasField("dim_value") else None for d in declared.shape.dim]
        fits = len(sizes) == len(tensor.dims) and all(s in (None, d) for s, d in zip(sizes, tensor.dims, strict=True))
        if declared.elem_type != tensor.data_type or (declared.HasField("shape") and not fits):
            raise refusal(f"the weights of {tensor.name!r} are declared as an input of another type or other sizes")


def _once(names: Iterable[str], kind: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if not isinstance(name, str):
            raise refusal(f"the name of one of the {kind} is no UTF-8 text")
        if not name or name in seen:
            raise refusal(f"two {kind} are called {name!r}" if name else f"one of the {kind} has no name")
        seen.add(name)
    return seen


def _check_nodes(sequence: Sequence[onnx.NodeProto], given: set[str], scope: Scope) -> None:
    """Check the nodes of one graph, and the graphs inside them; add the names of their outputs to `given`."""
    earlier = set(given)
    for node in sequence:
        for name in node.output:
            if name and (name in given or scope.had(name)):
                raise node_refusal(node, scope.opsets, f"its output {name!r} is the name of another value, too")
            given.add(name)
    given.discard("")
    for node in sequence:
        nodes.check(node, scope)
        for name in node.input:
            if name and name not in given and not scope.has(name):
                raise node_refusal(node, scope.opsets, f"it reads {name!r}, which nothing computes")
        body_interfaces.check(node, scope)
        if own := next((name for name in node.output if name in reads(node)), None):
            raise node_refusal(node, scope.opsets, f"it reads its own output {own!r}")
        for graph in inner_graphs(node):
            check(graph, scope.inner(given, earlier))
        earlier.update(node.output)
