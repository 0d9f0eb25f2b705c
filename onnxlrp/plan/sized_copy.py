"""A copy of a graph in which every size is a number, for decisions that symbolic sizes leave open."""

from __future__ import annotations

import itertools

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.source.canonical import fold
from onnxlrp.source.inference import infer

_SAMPLES = 3
_PICTURE = 224
"""Number of pixels along an open axis of a picture, which the patches of most models divide."""
_FEW = 64
"""Largest number of elements of a tensor that shapes are computed from."""
_LENGTHS = (29, 31, 37, 41, 43, 47, 53, 59)
"""Numbers of elements along other open axes, all different, so that no two are taken for one another."""


def sized_copy(graph: ir.Graph) -> ir.Graph:
    """Copy a graph, give a number to every open size of its inputs, and infer all others from these.

    Values keep their names. Arithmetic of sizes is computed, so that its nodes are missing from the copy.
    """
    copy = graph.clone()
    model = ir.Model(copy, ir_version=10)
    numbers, lengths = dict[str, int](), itertools.cycle(_LENGTHS)
    for value in copy.inputs:
        sizes = [] if value.shape is None else list(value.shape)
        picture = len(sizes) > 3 and value.dtype is not None and value.dtype.is_floating_point()
        for axis, size in enumerate(sizes):
            if isinstance(size, int):
                continue
            number = _SAMPLES if axis == 0 else _PICTURE if picture else next(lengths)
            sizes[axis] = number if size.value is None else numbers.setdefault(size.value, number)
        value.shape = None if value.shape is None else ir.Shape(sizes)
    infer(model)
    fold(model)
    if _fill(copy):
        fold(model)
    infer(model)
    return copy


def _fill(graph: ir.Graph) -> bool:
    """Compute every small ConstantOfShape, which the library's folding leaves alone; return True if there was any."""
    found = [(node, sizes) for node in graph if (sizes := _few(node)) is not None]
    for node, sizes in found:
        value, name = node.outputs[0], str(node.outputs[0].name)
        fill = node.attributes.get("value")
        number = np.zeros(1, np.float32) if fill is None else fill.as_tensor().numpy()
        filled = ir.val(name, const_value=ir.tensor(np.full(sizes, number.ravel()[0], number.dtype), name=name))
        ir.convenience.replace_all_uses_with(value, filled)
        graph.remove(node, safe=True)
        graph.initializers[name] = filled
    return bool(found)


def _few(node: ir.Node) -> list[int] | None:
    """Return the sizes that a ConstantOfShape makes a small tensor of; None for other nodes."""
    made = node.domain == "" and node.op_type == "ConstantOfShape" and not node.outputs[0].is_graph_output()
    sizes = content(node.inputs[0]) if made else None
    return None if sizes is None or sizes.prod() > _FEW else sizes.tolist()
