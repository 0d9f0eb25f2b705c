"""Correct the output sizes of a Resize by scales, which runtimes round in another way than onnx's inference.

A size is `⌊size · scale⌋` in float32: 3 · 5/3 is 5. onnx's shape inference gives 4.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content, graphs_of


def correct(graph: ir.Graph) -> bool:
    """Replace wrong sizes by the right ones, and forget all shapes downstream, which must be inferred anew; returns
    True if any size was wrong."""
    right: dict[ir.Value, ir.Shape] = {}
    for node in graph.all_nodes():
        shape = _sizes(node) if node.op_type == "Resize" and node.domain == "" else None
        if shape is not None and shape != node.outputs[0].shape:
            right[node.outputs[0]] = shape
    if not right:
        return False
    owners = {inner: node for node in graph.all_nodes() for inner in graphs_of(node)}
    stale = list(right)
    seen: set[ir.Node] = set()
    while stale:
        value = stale.pop()
        readers = set(value.consumers())
        if value.is_graph_output() and value.graph in owners:
            readers.add(owners[value.graph])
        for reader in readers - seen:
            seen.add(reader)
            stale += reader.outputs
            for output in reader.outputs:
                output.shape = None
    for value, shape in right.items():
        # A Resize downstream of another gets its sizes only after that one has its own.
        value.shape = shape if value.producer() not in seen else None
    return True


def _sizes(node: ir.Node) -> ir.Shape | None:
    """Compute the shape of the output; None if onnx is right to leave it open, or if a region is cut out."""
    call = Call.of(node)
    x, scales = call.operand(0), content(call.input(2))
    found = node.outputs[0].shape
    cuts = call.attr("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize"
    if cuts or scales is None or not scales.size or x.shape is None or found is None:
        return None
    dims = list(found)
    for axis, scale in zip(call.ints("axes", range(len(dims))), scales.astype(np.float32), strict=True):
        size = x.shape[axis]
        if isinstance(size, int):
            dims[axis] = int(np.floor(np.float32(size) * scale))
    return ir.Shape(dims)
