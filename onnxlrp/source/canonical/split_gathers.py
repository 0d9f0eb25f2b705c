"""Write Gathers that take a value apart along an axis, `x[0], …, x[n − 1]`, as one Split, whose parts are squeezed.

Queries, keys and values are often taken so from one product. The transpose of a Split is a Concat; that of each Gather
would pad its part with zeros, and the parts would be added up.
"""

from __future__ import annotations

import itertools

import onnx_ir as ir

from onnxlrp.graph.call import content
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.source.canonical.common import Rewriter

_Parts = dict[int, list[ir.Node]]
"""The Gathers by the place that they take."""


def rewrite(rewriter: Rewriter) -> None:
    """Rewrite all Gathers of a value along an axis where each place is taken, and nothing but single places."""
    places: dict[tuple[ir.Value, int], _Parts] = {}
    for node in rewriter.nodes("Gather"):
        found = attempt("takes no part of a value", node, _part, rewriter, node)
        if found is not None:
            value, axis, place = found
            places.setdefault((value, axis), {}).setdefault(place, []).append(node)
    for (value, axis), parts in places.items():
        for node in itertools.chain(*parts.values()):
            attempt("is no part of a Split", node, _is_complete, value, axis, parts)
        if _is_complete(value, axis, parts):
            _split(rewriter, value, axis, parts)


def _part(rewriter: Rewriter, node: ir.Node) -> tuple[ir.Value, int, int] | None:
    """Find the value, the axis and the place that a Gather takes; None where it takes several, or ids look it up."""
    (value, index), axis = node.inputs, node.attributes.get_int("axis", 0)
    place = content(index)
    if value is None or value.shape is None or value.dtype is None or not value.dtype.is_floating_point():
        return miss("it takes no floating-point numbers of known rank")
    if place is None or place.ndim or rewriter.is_constant(value):
        return miss("it does not take one place of data")
    axis %= len(value.shape)
    size = value.shape[axis]
    return (value, axis, int(place) % size) if isinstance(size, int) and size else miss("the axis has no known size")


def _is_complete(value: ir.Value, axis: int, parts: _Parts) -> bool | None:
    assert value.shape is not None
    if len(parts) == value.shape[axis] and len(parts) > 1:
        return True
    return miss(f"{len(parts)} of {value.shape[axis]} places are taken")


def _split(rewriter: Rewriter, value: ir.Value, axis: int, parts: _Parts) -> None:
    op, count = rewriter.op, len(parts)
    pieces = op.Split(value, op.ints([1] * count), axis=axis, _outputs=count)
    pieces[0].producer().name = f"{value.name}_parts"
    for place, nodes in parts.items():
        for node in nodes:
            name, piece = node.name, op.Squeeze(pieces[place], op.ints([axis]))
            rewriter.replace(node.outputs[0], piece, name or "Split")
            piece.producer().name = name
