"""`target="token"`: one class at one position of a sequence, by default the predicted one at the last position."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.graph.walks import follow_operators, upstream
from onnxlrp.interface import Interface
from onnxlrp.printable import shape_text
from onnxlrp.targets.argument_arrays import check_range
from onnxlrp.targets.kind import PREDICTED, Arguments, Axes, Resolved, Seed, Sizes, sizes
from onnxlrp.targets.one_class import ClassTarget

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder

_FEWEST = 5
"""Fewest values of a box: its four numbers and one class."""
_PICTURE = 4
"""Rank of a batch of pictures, whose sides are no positions."""
_KEEPS_CLASSES = frozenset({"Add", "Mul", "Div", "Cast", "Identity", "Reshape"})
"""Operators between a product and the scores; those that keep the last axis' size leave the classes there."""
_WRITES_WEIGHTS = frozenset({"Transpose", "DequantizeLinear", "Cast", "Identity"})
_FAR = 16
"""Number of nodes upstream of the scores that are examined."""


class TokenTarget(ClassTarget):
    """Target in scores [N, T, V]: T positions, V classes."""

    name = "token"
    explains = "a token's class"
    arguments = ("target", "position")
    follows_label = False

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        shape = sizes(score, name)
        rank = len(shape)
        if rank != 3:
            other = '"class"' if rank < 3 else '"element" or target="weights"'
            raise TargetError(
                f'target="token" needs scores of rank 3 [N, T, V]; {name!r} has rank {rank}: use target={other}'
            )
        if _counts_boxes(score, shape, inputs):
            raise TargetError(
                f'target="token" needs scores [N, T, V]; {name!r} {shape_text(shape)} looks like [N, 4 + classes, '
                'boxes], whose last axis holds no classes: use target="element" (one element by its indices)'
            )
        return Axes(0, 2)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op, score = seeder.op, seeder.question.score
        tokens = op.Sub(op.dim(score, 1), op.ints([1]))
        asked = tokens
        if seeder.options.has_input:
            position = seeder.index("position", "position")
            asked = op.Where(op.Equal(position, op.ints_scalar(PREDICTED)), tokens, position)
        place = op.Unsqueeze(op.Expand(asked, op.dim(score, 0)), op.ints([1]))
        inside = op.Max(op.Min(place, tokens), op.ints_scalar(0))
        scores = op.GatherND(seeder.question.output, inside, batch_dims=1)
        index, onehot = seeder.classes(scores)
        there = op.Unsqueeze(op.one_hot(place, op.dim(score, 1), seeder.dtype), op.ints([2]))
        if seeder.options.targets > 1:
            # [N, 1, T, 1] · [N, K, 1, V]
            all_there, onehot = op.Unsqueeze(there, op.ints([1])), op.Unsqueeze(onehot, op.ints([2]))
            return Seed(seeder.shaped(op.Mul(all_there, onehot)))
        tensor = seeder.shaped(op.Mul(there, op.Unsqueeze(onehot, op.ints([1]))))
        choice = seeder.within(scores, index)
        exists = op.And(choice.exists, op.Equal(place, inside))
        return Seed(tensor, dataclasses.replace(choice, exists=exists, position=inside))

    def _rows(self, scores: np.ndarray) -> np.ndarray:
        return scores

    def _resolve(self, given: Arguments, scores: np.ndarray, label: Any, interface: Interface) -> Resolved:
        """Determine the classes of [N, T, V] at the requested positions; a ZipMap's [N, V] has no positions."""
        if scores.ndim < 3:
            return super()._resolve(given, scores, label, interface)
        samples, length = scores.shape[:2]
        position = given.get("position", np.array([PREDICTED]))
        check_range(position, length, "position", ("position", "positions"), interface.output)
        places = np.broadcast_to(np.where(position == PREDICTED, length - 1, position), (samples,))
        choice = super()._resolve(given, scores[np.arange(samples), places], label, interface)
        return dataclasses.replace(choice, position=places)


def _counts_boxes(score: ir.Value, shape: Sizes, inputs: Sequence[ir.Value]) -> bool:
    """Decide whether scores of rank 3 look like [N, values, boxes], as detectors give them, and not like [N, T, V].

    A detector has few values, of a fixed number, and many boxes, or any number of them. An axis as long as an axis of
    an input counts positions, and the last axis of a product with constants or of a softmax counts classes, however few
    positions there are.
    """
    values, boxes = shape[1:]
    if not isinstance(values, int) or values < _FEWEST or (isinstance(boxes, int) and boxes <= values):
        return False
    lengths = {size for v in inputs for size in list(v.shape or ())[1:] if len(v.shape or ()) < _PICTURE}
    return values not in lengths and not _ends_with_classes(score)


def _ends_with_classes(score: ir.Value) -> bool:
    """Decide whether the last axis counts the columns of a product with weights, or is that of a softmax."""

    def through(node: ir.Node) -> list[ir.Value]:
        width = _last(node.outputs[0])
        return [v for v in node.inputs if node.op_type in _KEEPS_CLASSES and v is not None and _last(v) == width]

    for node in itertools.islice(upstream([score], through), _FAR):
        if any(map(_is_last_softmax, [node, *(use.node for value in node.outputs for use in value.uses())])):
            return True
        if node.op_type.startswith(("MatMul", "Gemm")) and _is_weight(node.inputs[1]):
            return True
    return False


def _is_last_softmax(node: ir.Node) -> bool:
    return node.op_type in ("Softmax", "LogSoftmax") and node.attributes.get_int("axis", -1) in (-1, 2)


def _last(value: ir.Value) -> object:
    """Size of the last axis, None if it is not known."""
    return value.shape[-1] if value.shape else None


def _is_weight(value: ir.Value | None) -> bool:
    """Decide whether a value is an initializer, perhaps transposed or dequantised."""
    return value is not None and follow_operators(value, _WRITES_WEIGHTS).is_initializer()
