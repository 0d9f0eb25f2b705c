"""Class activation maps: the weighted sum of an inner value's channels, enlarged to the inputs."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import shaped
from onnxlrp.operators import interpolation
from onnxlrp.plan.steps import ActivationMap
from onnxlrp.plan.traced_axes import Traced


def maps_of_inputs(
    op: Builder, wanted: ActivationMap, gradient: ir.Value, inputs: Sequence[ir.Value]
) -> list[ir.Value]:
    """The map on each input, in the input's shape and the type of the gradient, which is that of `wanted.value`."""
    assert gradient.dtype is not None
    value = op.cast(wanted.value, gradient.dtype)
    return [map_on_input(op, _map(op, value, gradient, wanted, wanted.axes[v]), wanted.axes[v], v) for v in inputs]


def _map(op: Builder, value: ir.Value, gradient: ir.Value, wanted: ActivationMap, axes: Traced) -> ir.Value:
    """The map itself, `max(0, Σ w·A)` in the shape of the value with one channel."""
    channel, space = axes.picture.index(1), [i for i, axis in enumerate(axes.picture) if axis not in (0, 1)]
    weights = op.Relu(gradient) if wanted.by_element else op.ReduceMean(gradient, op.ints(space), keepdims=1)
    return op.Relu(op.ReduceSum(op.Mul(weights, value), op.ints([channel]), keepdims=1))


def map_on_input(op: Builder, tensor: ir.Value, axes: Traced, like: ir.Value) -> ir.Value:
    """Enlarge a map along its spatial axes, order its axes as the input's are, and repeat it over the channels."""
    for axis, source in enumerate(axes.input):
        if axes.picture[axis] not in (0, 1) and source is not None:
            tensor = _enlarged(op, tensor, axis, op.dim(like, source))
    missing = [axis for axis, source in enumerate(axes.input) if source is None]
    tensor = op.Squeeze(tensor, op.ints(missing)) if missing else tensor
    left = [source for source in axes.input if source is not None]
    ordered = sorted(left)
    tensor = op.Transpose(tensor, perm=[left.index(source) for source in ordered]) if left != ordered else tensor
    absent = [axis for axis in range(len(op.dims(like))) if axis not in left]
    tensor = op.Unsqueeze(tensor, op.ints(absent)) if absent else tensor
    return shaped(op.Expand(tensor, op.shape(like)), like)


def _enlarged(op: Builder, tensor: ir.Value, axis: int, size: ir.Value) -> ir.Value:
    """Interpolate along an axis by a product with a matrix, for which every runtime has a kernel in every type.

    Element i of the result reads the position (i + ½)·length/size − ½, cut off at the ends.
    """
    rank, dtype, length = len(op.dims(tensor)), tensor.dtype, op.dim(tensor, axis)
    assert dtype is not None
    before, after = (op.Cast(op.Squeeze(n, op.ints([0])), to=dtype) for n in (length, size))
    steps = op.count_up(size)
    positions = op.Sub(op.Mul(op.Add(op.Cast(steps, to=dtype), 0.5), op.Div(before, after)), 0.5)
    positions = op.Max(op.Min(positions, op.Sub(before, 1.0)), op.number(0.0, positions))
    taps = [interpolation.inside(op, tap, before) for tap in interpolation.linear(op, positions)]
    matrix = op.Transpose(interpolation.matrix(op, taps, length), perm=[1, 0])
    moved = [a for a in range(rank) if a != axis] + [axis]
    out = op.MatMul(op.Transpose(tensor, perm=moved), matrix)
    return op.Transpose(out, perm=[moved.index(a) for a in range(rank)])
