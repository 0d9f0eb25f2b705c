"""`target="element"`: one element of an output of any shape, by default each sample's largest.

A pixel's class, a box's score, a step's forecast: the input `<output>_element` takes the indices after the batch axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.printable import shape_text
from onnxlrp.targets.argument_arrays import from_maps, per_sample
from onnxlrp.targets.kind import PREDICTED, Arguments, Axes, Resolved, Seed, Sizes, TargetKind, sizes
from onnxlrp.targets.one_class import one_axis

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder


class ElementTarget(TargetKind):
    """Target in scores [N, …] of any rank, or of one sample alone: an index for each axis but the batch."""

    name = "element"
    explains = "an element"
    by_default = "the largest element"
    arguments = ("target",)
    several = True

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        shape = sizes(score, name)
        batch = 0 if len(shape) > 1 or not shape else one_axis(shape[0], inputs).batch
        if len(shape) < 1 + (batch is not None):
            raise TargetError(f'{name!r} {shape_text(shape)} is one score per sample: use target="class"')
        return Axes(batch, None)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op, score, many = seeder.op, seeder.question.score, seeder.options.targets
        first, rank = int(axes.batch is not None), len(score.shape or ())
        chosen = self._largest(seeder, first)
        if seeder.options.has_input:
            several = [many] if many > 1 else []
            asked = seeder.index("target", f"{seeder.question.name}_element", *several, rank - first)
            inside = op.Max(op.Min(asked, op.Sub(op.shape(score, first), op.ints([1]))), op.ints_scalar(0))
            strides = [*(op.volume(score, axis) for axis in range(first + 1, rank)), op.ints([1])]
            place = op.ReduceSum(op.Mul(asked, op.Concat(*strides, axis=0)), op.ints([-1]), keepdims=1)
            known = op.Where(_all(seeder, op.Equal(asked, inside)), place, op.ints_scalar(-1))
            largest = op.Unsqueeze(chosen, op.ints([2])) if many > 1 else chosen
            chosen = op.Where(_all(seeder, op.Equal(asked, op.ints_scalar(PREDICTED))), largest, known)
        return Seed(seeder.shaped(op.one_hot(chosen, op.volume(score, first), seeder.dtype)))

    def _largest(self, seeder: Seeder, first: int) -> ir.Value:
        """Find the place of each flattened sample's largest element, int64 [N, 1]; past the end if it has none."""
        op, visible = seeder.op, seeder.question.output
        samples, count = op.dim(visible, 0) if first else op.ints([1]), op.volume(visible, first)
        flat = op.Reshape(visible, op.Concat(samples, count, axis=0))
        if op.known(count) is None:
            # A detector may find no boxes, and ArgMax fails on an empty axis, so one element of -∞ is appended.
            lowest = op.full(op.Concat(samples, op.ints([1]), axis=0), -np.inf, visible.dtype)
            flat = op.Concat(flat, lowest, axis=1)
        return op.ArgMax(flat, axis=1, keepdims=1)

    def read(self, argument: str, value: Any, interface: Interface, shape: Sizes | None) -> np.ndarray:
        one = self.sample_shape(argument, interface)
        array = per_sample(value, argument, one, f"an element of {interface.output!r} has {one[-1]} indices")
        _check(array, (shape or interface.output_shape or ())[-one[-1] :], interface)
        return array

    def sample_shape(self, argument: str, interface: Interface) -> tuple[int, ...]:
        """Return [indices], or [K, indices] with K targets."""
        indices = len(interface.output_shape or ()) - (interface.batch_axis is not None)
        if indices < 1:
            raise ValueError(f"elements are explained of an output {shape_text(interface.output_shape)}")
        return (indices,) if interface.targets == 1 else (interface.targets, indices)

    def scores(self, value: Any, interface: Interface) -> np.ndarray | None:
        scores = from_maps(value) if isinstance(value, list) else value
        rank = len(interface.output_shape or ())
        if scores is None or np.ndim(scores) != rank:
            return None
        return np.asarray(scores if interface.batch_axis == 0 else scores[None])

    def resolve(self, given: Arguments, value: Any, label: Any, interface: Interface) -> Resolved:
        scores = self.scores(value, interface)
        if scores is None:
            return Resolved()
        shape, flat = scores.shape[1:], scores.reshape(len(scores), math.prod(scores.shape[1:]))
        asked = given.get("target", self.default("target", interface))
        _check(asked, shape, interface)
        asked = np.broadcast_to(asked, (len(scores), *asked.shape[1:]))
        if not flat.shape[1]:
            return Resolved(asked, np.zeros(asked.shape[:-1], scores.dtype))
        largest = np.stack(np.unravel_index(flat.argmax(axis=1), shape), axis=-1)
        largest = largest.reshape(len(scores), *[1] * (asked.ndim - 2), len(shape))
        elements = np.where((asked == PREDICTED).all(axis=-1, keepdims=True), largest, asked)
        places = np.ravel_multi_index(tuple(np.moveaxis(elements, -1, 0)), shape)
        places = places.reshape(len(scores), math.prod(places.shape[1:]))
        return Resolved(elements, np.take_along_axis(flat, places, axis=1).reshape(elements.shape[:-1]))


def _all(seeder: Seeder, holds: ir.Value) -> ir.Value:
    """Reduce a condition to True if it holds for every index of an element: [N, …, indices] -> [N, …, 1]."""
    op = seeder.op
    least = op.ReduceMin(op.cast(holds, ir.DataType.FLOAT), op.ints([-1]), keepdims=1)  # CUDA compares no integers
    return op.Greater(least, 0.0)


def _check(elements: np.ndarray, shape: Sizes, interface: Interface) -> None:
    """Raise TargetError for the first element that is not −1 everywhere and has an index outside the output."""
    for element in elements.reshape(-1, elements.shape[-1]).tolist():
        if all(index == PREDICTED for index in element):
            continue
        shown = ", ".join(map(str, element))
        if min(element) < 0:
            raise TargetError(
                f"element {shown}: there are no negative indices here, -1 for all of them means the largest"
            )
        for axis, (index, size) in enumerate(zip(element, shape, strict=True)):
            if isinstance(size, int) and index >= size:
                place = axis + (interface.batch_axis is not None)
                raise TargetError(f"element {shown}: axis {place} of {interface.output!r} has {size} elements")
