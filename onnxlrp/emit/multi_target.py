"""K targets from one forward pass: what depends on the seed becomes the body of a Scan over the seeds."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.walks import mark_downstream, read_by
from onnxlrp.source.constants import constants


def scan_targets(op: Builder, seeds: ir.Value, seed: ir.Value, results: Sequence[ir.Value]) -> list[ir.Value]:
    """Compute each result for every seed of `seeds`, [K, …], stacked to [K, …].

    The results were computed from `seed`, which a Gather takes out of `seeds`. Nodes that depend on it move into the
    Scan's body; all others (denominators, modified weights) stay outside and are computed once. Equal results, such as
    the relevance upstream and downstream of a ReLU, are one output of the body, because onnxruntime takes none twice.
    A result that does not depend on the seed, such as the gradient of a tree ensemble, which is 0, is repeated K times:
    a body cannot give back what is computed outside of it.
    """
    graph, dependent = op.graph, {seed}
    mark_downstream(graph, dependent, lambda node: node.outputs, read_by)
    distinct = list(dict.fromkeys(result for result in results if result in dependent))
    scanned = _scan(op, seeds, seed, distinct, dependent) if distinct else {}
    return [scanned[result] if result in scanned else _repeated(op, result, seeds) for result in results]


def _scan(
    op: Builder, seeds: ir.Value, seed: ir.Value, distinct: Sequence[ir.Value], dependent: Collection[ir.Value]
) -> dict[ir.Value, ir.Value]:
    """Move the nodes that depend on the seed into a Scan; returns its outputs by the result that each stacks."""
    graph = op.graph
    first = seed.producer()
    assert first is not None
    moved = [node for node in graph if node.outputs[0] in dependent and node is not first]
    moved = [*_weights_of(graph, moved), *moved]
    graph.remove(moved, safe=False)
    argument = ir.val("seed", seed.dtype, seed.shape)
    ir.convenience.replace_all_uses_with(seed, argument)
    graph.remove(first, safe=True)
    body = ir.Graph([argument], distinct, nodes=moved, name="one_target", opset_imports=graph.opset_imports)
    attributes = [ir.AttrInt64("num_scan_inputs", 1), ir.AttrGraph("body", body)]
    shapes = [None if result.shape is None else ir.Shape([None, *result.shape]) for result in distinct]
    outs = [ir.val(f"targets_{r.name}", type=r.type, shape=s) for r, s in zip(distinct, shapes, strict=True)]
    op.label("one explanation per target")
    op.append(ir.Node("", "Scan", [seeds], attributes, outputs=outs, name="targets"))
    return dict(zip(distinct, outs, strict=True))


def _repeated(op: Builder, result: ir.Value, seeds: ir.Value) -> ir.Value:
    """Stack K copies of a result that is the same for every seed of `seeds`, [K, …]."""
    return op.Expand(result, op.Concat(op.Shape(seeds, start=0, end=1), op.Shape(result), axis=0))


def _weights_of(graph: ir.Graph, moved: Collection[ir.Node]) -> list[ir.Node]:
    """Find the nodes that compute constants for the moved nodes alone. They move into the body too: a session arranges
    a weight in memory for its fast kernels only where the body itself holds it."""
    inside, known, found = set(moved), constants(graph), []
    for node in reversed(graph):
        readers = [use.node for v in node.outputs for use in v.uses()]
        if node not in inside and readers and all(v in known for v in node.outputs) and inside.issuperset(readers):
            inside.add(node)
            found.append(node)
    return found[::-1]
