"""K targets from one forward pass: what depends on the seed becomes the body of a Scan over the seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import captured
from onnxlrp.graph.provenance import mark_rule
from onnxlrp.source.constants import constants


def placeholder(op: Builder, seeds: ir.Value) -> ir.Value:
    """One seed of [K, …], for the walk to build on."""
    return op.Gather(seeds, op.ints_scalar(0), axis=0)


def scan_targets(op: Builder, seeds: ir.Value, seed: ir.Value, results: Sequence[ir.Value]) -> list[ir.Value]:
    """Each result for every seed, stacked: [K, …]. Nodes that depend on `seed` move into the Scan's body; what does not
    (denominators, modified weights) stays outside and is computed once."""
    graph = op.graph
    dependent: set[ir.Value] = {seed}
    moved: list[ir.Node] = []
    for node in list(graph):
        if any(v in dependent for v in (*node.inputs, *captured(node))):
            dependent.update(node.outputs)
            moved.append(node)
    moved = [*_weights_of(graph, moved), *moved]
    first = seed.producer()
    assert first is not None
    graph.remove(moved, safe=False)
    argument = ir.Value(name="seed", type=ir.TensorType(seed.dtype), shape=seed.shape)  # type: ignore[arg-type]
    ir.convenience.replace_all_uses_with(seed, argument)
    graph.remove(first, safe=True)
    body = ir.Graph(
        inputs=[argument], outputs=list(results), nodes=moved, name="one_target", opset_imports=graph.opset_imports
    )
    attributes = [ir.AttrInt64("num_scan_inputs", 1), ir.AttrGraph("body", body)]
    node = ir.Node("", "Scan", [seeds], attributes, num_outputs=len(results), name="targets")
    mark_rule(node, "one explanation per target")
    graph.append(node)
    for stacked, result in zip(node.outputs, results, strict=True):
        stacked.type = result.type
        stacked.shape = None if result.shape is None else ir.Shape([None, *result.shape])
        stacked.name = f"targets_{result.name}"
    return list(node.outputs)


def _weights_of(graph: ir.Graph, moved: Collection[ir.Node]) -> list[ir.Node]:
    """Find what is computed from constants for the moved nodes alone: a session lays a kernel out for its fast
    path only where it is the body's own."""
    inside, known, found = set(moved), constants(graph), []
    for node in reversed(graph):
        readers = [use.node for v in node.outputs for use in v.uses()]
        if node not in inside and readers and all(v in known for v in node.outputs) and inside.issuperset(readers):
            inside.add(node)
            found.append(node)
    return found[::-1]


def after_batch(op: Builder, stacked: ir.Value, rank: int) -> ir.Value:
    """[K, N, …] -> [N, K, …]; a value without axes keeps K alone."""
    return op.Transpose(stacked, perm=[1, 0, *range(2, rank + 1)]) if rank else stacked
