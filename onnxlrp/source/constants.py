"""What depends on no input."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

_RANDOM = frozenset(
    {"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def outer_values(node: ir.Node) -> Iterator[ir.Value]:
    """What a node reads: its operands, and what its bodies (of If, Loop, Scan) take from around them."""
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        graphs = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else []
        graphs = list(attribute.value) if attribute.type == ir.AttributeType.GRAPHS else graphs
        for graph in graphs:
            own = {id(v) for v in graph.inputs} | {id(v) for v in graph.initializers.values()}
            own |= {id(v) for inner in graph.all_nodes() for v in inner.outputs}
            for inner in graph.all_nodes():
                yield from (v for v in inner.inputs if v is not None and id(v) not in own)
            yield from (v for v in graph.outputs if id(v) not in own)


def constants(graph: ir.Graph) -> set[ir.Value]:
    """Initializers, and every value computed from them alone (random numbers are not constant)."""
    inputs = set(graph.inputs)
    found = {v for v in graph.initializers.values() if v not in inputs}
    for node in graph:
        if node.op_type not in _RANDOM and all(v in found for v in outer_values(node)):
            found.update(node.outputs)
    return found
