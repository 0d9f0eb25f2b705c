"""Gradients at several points, added up: the forward pass and the way back become the body of a Scan over the points.

One point is computed at a time, so that memory does not grow with their number, and no axis of the model changes its
meaning. The model's outputs, and the target that is explained, stay those of the input itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.composites import Points
from onnxlrp.emit.bounds import constant_of_input
from onnxlrp.emit.context import Context
from onnxlrp.errors import InputError
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import shaped
from onnxlrp.graph.part_copies import copied_part
from onnxlrp.graph.provenance import is_relevance, mark_rule
from onnxlrp.graph.walks import mark_downstream, read_by, upstream
from onnxlrp.source.constants import constants


def averaged(
    context: Context,
    points: Points,
    inputs: Sequence[ir.Value],
    gradients: Sequence[ir.Value],
    seeds: Collection[ir.Node],
    targets: int,
    embedded: Mapping[ir.Value, ir.Value],
) -> list[ir.Value]:
    """The weighted sum of each gradient over the points, times the input less the baseline where there is one.

    Parameters
    ----------
    gradients
        The gradient at each of the inputs, in its shape, with a leading axis of targets where there are several.
    seeds
        The nodes that choose the target: they are not run again.
    embedded
        Those of the inputs that are embeddings of ids, with their baselines.
    """
    op, dtype = context.op, gradients[0].dtype
    assert dtype is not None
    gradients = [g if g.producer() is not None else op.Identity(g) for g in gradients]
    generator = np.random.default_rng(points.noise_seed)
    ways = [_Way.of(context, value, points, generator, embedded.get(value)) for value in inputs]
    sums = [ir.val(f"sum_{i}", dtype, g.shape) for i, g in enumerate(gradients)]
    starts = [_zeros(op, way.value, targets, dtype) for way in ways]
    scale, weight = ir.val("scale", dtype, []), ir.val("weight", dtype, [])
    body, copies = _copied(op.graph, inputs, gradients, seeds)
    inner = op.inside(body, "lrp_point")
    inner.label("points")
    for way, copy in zip(ways, list(body.inputs), strict=True):
        ir.convenience.replace_all_uses_with(copy, way.at(inner, scale))
    added = [shaped(inner.Add(s, inner.Mul(copy, weight)), s) for s, copy in zip(sums, copies, strict=True)]
    _own_kernels(inner)
    inner.assert_inferred()
    noisy = [(way.noise, way.noises) for way in ways if way.noise is not None]
    body.inputs[:], body.outputs[:] = [*sums, scale, weight, *(noise for noise, _ in noisy)], added
    body.sort()
    scanned = [op.constant(numbers, dtype) for numbers in (points.scales, points.weights)]
    scanned += [noises for _, noises in noisy if noises is not None]
    attributes = [ir.AttrInt64("num_scan_inputs", len(scanned)), ir.AttrGraph("body", body)]
    outs = [ir.val(f"points_{s.name}", dtype, s.shape) for s in sums]
    node = ir.Node("", "Scan", [*starts, *scanned], attributes, outputs=outs, name="points")
    mark_rule(node, "gradients at several points")
    op.graph.append(node)
    return [way.times_difference(op, out) for way, out in zip(ways, outs, strict=True)]


@dataclasses.dataclass(frozen=True)
class _Way:
    """The way from the baseline to an input, or the noise around it."""

    value: ir.Value
    baseline: ir.Value | None = None
    difference: ir.Value | None = None
    noises: ir.Value | None = None
    """The noise at every point, [points, …] with the shape of one sample."""
    noise: ir.Value | None = None
    """The noise at one point, in the body."""
    places: Mapping[int, ir.Value] = dataclasses.field(default_factory=dict)
    """For each axis of an open size, the places in the noise that its elements read."""

    @classmethod
    def of(
        cls,
        context: Context,
        value: ir.Value,
        points: Points,
        generator: np.random.Generator,
        baseline: ir.Value | None,
    ) -> _Way:
        assert value.dtype is not None
        if points.baseline is None:
            drawn = generator.normal(scale=points.sigma, size=(len(points.scales), *_noise_shape(value)))
            noise = ir.val(f"noise_{value.name}", value.dtype, drawn.shape[1:])
            noises, places = context.op.constant(drawn, value.dtype), _places(context.op, value)
            return cls(value, noises=noises, noise=noise, places=places)
        if baseline is None:
            own = dataclasses.replace(context, dtype=value.dtype)
            baseline = constant_of_input(own, value, points.baseline, "a baseline")
        return cls(value, baseline, shaped(context.op.Sub(value, baseline), value))

    def at(self, op: Builder, scale: ir.Value) -> ir.Value:
        """The point on the way at a scale between 0 and 1, or the input plus noise, in its type and shape."""
        if self.baseline is None or self.difference is None:
            noise = self.noise
            for axis, places in self.places.items():
                noise = op.Gather(noise, places, axis=axis - 1)
            return shaped(op.Add(self.value, noise), self.value)
        assert self.value.dtype is not None
        step = op.Mul(self.difference, op.cast(scale, self.value.dtype))
        return shaped(op.Add(step, self.baseline), self.value)

    def times_difference(self, op: Builder, mean: ir.Value) -> ir.Value:
        """The mean gradient times the whole way, or the mean gradient where there is no baseline."""
        assert mean.dtype is not None
        return mean if self.difference is None else shaped(op.Mul(mean, op.cast(self.difference, mean.dtype)), mean)


_BLOCK = 128
"""Number of elements of the noise along an axis whose size is open; longer axes repeat it."""


def _noise_shape(value: ir.Value) -> list[int]:
    """The shape of the noise for one sample of an input. Raises InputError where not even the rank is declared."""
    if value.shape is None:
        raise InputError(f"the file holds the noise of the input {value.name!r}, whose rank is not declared")
    return [d if isinstance(d, int) else _BLOCK for d in value.shape[1:]]


def _places(op: Builder, value: ir.Value) -> dict[int, ir.Value]:
    """For each axis of an open size, the numbers 0, 1, 2, … that begin again after every block."""
    found = {}
    for axis, size in enumerate(list(value.shape or ())[1:], 1):
        if not isinstance(size, int):
            stop, block = op.Squeeze(op.dim(value, axis), op.ints([0])), op.ints_scalar(_BLOCK)
            every = op.Range(op.ints_scalar(0), stop, op.ints_scalar(1))
            found[axis] = op.Sub(every, op.Mul(op.Div(every, block), block))
    return found


def _copied(
    graph: ir.Graph, inputs: Sequence[ir.Value], gradients: Sequence[ir.Value], seeds: Collection[ir.Node]
) -> tuple[ir.Graph, list[ir.Value]]:
    """Copy all that the gradients are computed by, from the inputs on, into a body whose inputs stand for the graph's.

    Returns the body, and the copy of each gradient: the gradient itself where it does not depend on the inputs. What is
    computed from constants is copied too: a session lays it out for a fast path only where it is the body's own.
    """
    needed = set(upstream(gradients, lambda node: () if node in seeds else read_by(node))) - set(seeds)
    nodes = [node for node in graph if node in needed]
    inside = set(inputs)
    mark_downstream(nodes, inside, lambda node: node.outputs, read_by)
    inside |= constants(graph) - set(graph.initializers.values())
    copied = [node for node in nodes if node.outputs[0] in inside and node.outputs[0] not in inputs]
    ends = [g for g in dict.fromkeys(gradients) if g in inside]
    body = copied_part(graph, copied, inputs, ends)
    for node in body.all_nodes():
        if not is_relevance(node):
            mark_rule(node, "the model at a point")
    copies = dict(zip(ends, body.outputs, strict=True))
    return body, [copies.get(g, g) for g in gradients]


def _own_kernels(op: Builder) -> None:
    """Let convolutions of a body read copies of the weights around it.

    A session computes the copies as it is created; it lays kernels out for its fast path only where they are the body's
    own (1.4 times as fast in EfficientNet-Lite0, onnxruntime 1.31.1). The Concat of one tensor is no Identity, which
    the session would take out.
    """
    for node in [n for n in op.graph if n.domain == "" and n.op_type == "Conv"]:
        for index, value in enumerate(node.inputs[1:], 1):
            if value is not None and value.is_initializer() and not value.is_graph_input():
                node.replace_input_with(index, op.Concat(value, axis=0))


def _zeros(op: Builder, value: ir.Value, targets: int, dtype: ir.DataType) -> ir.Value:
    """Zeros in the shape of a gradient, which is that of the input, or [targets, …]: the gradient itself is computed in
    the body alone."""
    shape = op.shape(value)
    return op.full(shape if targets == 1 else op.Concat(op.ints([targets]), shape, axis=0), 0, dtype)
