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
    """
    distinct = list(dict.fromkeys(results))
    graph, dependent = op.graph, {seed}
    mark_downstream(graph, dependent, lambda node: node.outputs, read_by)
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
    found = dict(zip(distinct, outs, strict=True))
    return [found[result] for result in results]


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
