"""Pass that writes GatherND, which some runtimes lack, as a Gather from a flat list of slices."""

from __future__ import annotations

import functools

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call, ranked
from onnxlrp.graph.provenance import is_relevance


def flatten_gathers(op: Builder) -> None:
    """Write every GatherND of the relevance part whose number of indices is known as a Gather.

    The axes that are indexed become one, along which the place of a slice is Σ index · stride; axes of a batch are
    indexed by their own numbers. Indices may count from the end.
    """
    for node in [n for n in op.graph if n.op_type == "GatherND" and n.domain == "" and is_relevance(n)]:
        call = Call.of(node)
        depth = ranked(call.operand(1))[-1]
        if isinstance(depth, int):
            flat = _flat_gather(op, call, depth, int(call.attr("batch_dims", 0)))
            flat.type, flat.shape = node.outputs[0].type, node.outputs[0].shape
            ir.convenience.replace_all_uses_with(node.outputs[0], flat, replace_graph_outputs=True)
            op.graph.remove(node, safe=True)


def _flat_gather(op: Builder, call: Call, depth: int, batch: int) -> ir.Value:
    data, indices = call.operand(0), call.operand(1)
    indexed, places = batch + depth, len(ranked(indices)) - 1
    coordinates = [_numbers(op, data, axis, places) for axis in range(batch)]
    for k in range(depth):
        one = op.Gather(indices, op.ints_scalar(k), axis=-1)
        size = op.dim(data, batch + k)
        coordinates.append(op.Where(op.Less(one, op.ints_scalar(0)), op.Add(one, size), one))
    strides = [
        functools.reduce(op.Mul, [op.dim(data, axis) for axis in range(first + 1, indexed)], op.ints([1]))
        for first in range(indexed)
    ]
    place = functools.reduce(op.Add, [op.Mul(c, s) for c, s in zip(coordinates, strides, strict=True)])
    slices = op.Reshape(data, op.Concat(op.ints([-1]), op.shape(data, indexed), axis=0))
    return op.Gather(slices, place, axis=0)


def _numbers(op: Builder, data: ir.Value, axis: int, places: int) -> ir.Value:
    """Number the elements of a batch axis, in a shape that broadcasts to that of the places."""
    count = op.Squeeze(op.dim(data, axis), op.ints([0]))
    numbers = op.Range(op.ints_scalar(0), count, op.ints_scalar(1))
    return op.Reshape(numbers, op.ints([-1 if i == axis else 1 for i in range(places)]))
