"""`target="class"`: one class of each sample, the predicted one by default."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.printable import shape_text
from onnxlrp.targets.argument_arrays import check_range, from_maps, per_sample
from onnxlrp.targets.kind import PREDICTED, Arguments, Axes, Resolved, Seed, Sizes, TargetKind, sizes

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder

_CLASS = ("class", "classes")


class ClassTarget(TargetKind):
    """Target in scores [N, C], perhaps with further axes of size 1, in one score a sample [N], or in classes [C]."""

    name = "class"
    explains = "a class"
    by_default = "the predicted class"
    arguments: ClassVar[tuple[str, ...]] = ("target",)
    several = True
    follows_label = True

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        shape = sizes(score, name)
        if not shape:
            return Axes(None, None)
        if len(shape) == 1:
            return one_axis(shape[0], inputs)
        if any(size != 1 for size in shape[2:]):
            raise TargetError(
                f"the explained output {name!r} has shape {shape_text(shape)}, more than one score per class: use "
                'target="token" (a class at a position of scores [N, T, V]), target="element" (one element by its '
                'indices) or target="weights" (any shape), or name another output'
            )
        return Axes(0, 1)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op, visible = seeder.op, seeder.question.output
        if axes.classes == 1:
            # Reshape to [0, -1] would fail for a batch of no samples, such as the boxes of an empty picture.
            spatial = range(2, len(seeder.question.score.shape or ()))
            flat = op.Squeeze(visible, op.ints(spatial)) if spatial else visible
        else:
            flat = op.Reshape(visible, op.ints([-1, 1] if axes.classes is None else [1, -1]))
        index, onehot = seeder.classes(flat)
        one = seeder.options.targets == 1 and axes.classes == 1
        return Seed(seeder.shaped(onehot), seeder.within(flat, index) if one else None)

    def read(self, argument: str, value: Any, interface: Interface, shape: Sizes | None) -> np.ndarray:
        one = self.sample_shape(argument, interface)
        many = f"{one[0]} classes at once" if one else "one score of each sample"
        indices = per_sample(value, argument, one, f"this model explains {many}")
        if argument == "target":
            axis, sizes = interface.class_axis, shape or ()
            count = 1 if axis is None else sizes[axis] if axis < len(sizes) else None
            check_range(indices, count, argument, _CLASS, interface.output)
        return indices

    def sample_shape(self, argument: str, interface: Interface) -> tuple[int, ...]:
        return (interface.targets,) if argument == "target" and interface.targets > 1 else ()

    def scores(self, value: Any, interface: Interface) -> np.ndarray | None:
        """Arrange the explained output as [N, C], or [N, T, C] for a token target; None if it is no array of scores."""
        if isinstance(value, list):
            return from_maps(value)
        if value is None:
            return None
        scores = np.asarray(value)
        places = {axis: to for axis, to in ((interface.batch_axis, 0), (interface.class_axis, -1)) if axis is not None}
        if any(axis >= scores.ndim for axis in places):
            return None
        scores = np.moveaxis(scores, [*places], [*places.values()])
        scores = scores[None] if interface.batch_axis is None else scores
        scores = scores[..., None] if interface.class_axis is None else scores
        between = int(np.prod(scores.shape[1:-1], dtype=np.int64))
        return self._rows(scores.reshape(len(scores), between, scores.shape[-1]))

    def _rows(self, scores: np.ndarray) -> np.ndarray | None:
        """Arrange scores [N, T, C] as this kind has them, [N, C] here; None if they have more axes."""
        return scores[:, 0] if scores.shape[1] == 1 else None

    def resolve(self, given: Arguments, value: Any, label: Any, interface: Interface) -> Resolved:
        scores = self.scores(value, interface)
        target = given.get("target")
        if scores is None:
            return Resolved(target)
        if target is not None:
            check_range(target, scores.shape[-1], "target", _CLASS, interface.output)
        return self._resolve(given, scores, label, interface)

    def _resolve(self, given: Arguments, scores: np.ndarray, label: Any, interface: Interface) -> Resolved:
        """Determine the explained classes of scores [N, C]."""
        samples, asked = len(scores), given.get("target", self.default("target", interface))
        predicted = scores.argmax(axis=-1) if scores.shape[-1] else np.zeros(samples, np.int64)
        if label is not None:
            predicted = _named(label, predicted, scores.shape[-1], interface)
        asked = np.broadcast_to(asked, (samples, *asked.shape[1:])).reshape(samples, interface.targets)
        classes = np.where(asked == PREDICTED, predicted[:, None], asked)
        shape = (samples, *self.sample_shape("target", interface))
        return Resolved(classes.reshape(shape), np.take_along_axis(scores, classes, axis=1).reshape(shape))

    def is_one_score(self, interface: Interface) -> bool:
        return interface.class_axis is None


def one_axis(size: int | str | None, inputs: Sequence[ir.Value]) -> Axes:
    """Find the meaning of the only axis of a score: one score per sample if it is the batch, else the classes."""
    batches = [v.shape[0] for v in inputs if v.shape is not None and len(v.shape) > 0]
    if size == 1 or size in batches or not isinstance(size, int):
        return Axes(0, None)
    return Axes(None, 0)


def _named(label: Any, largest: np.ndarray, classes: int, interface: Interface) -> np.ndarray:
    """Find the classes that a label output names, [N]; the largest score's class if the label is unknown."""
    places = {name: index for index, name in enumerate(interface.labels)}
    names = np.asarray(label).reshape(-1).tolist() if isinstance(label, np.ndarray) else []
    if len(names) != len(largest):
        raise ValueError(f"the label output names {len(names)} classes of {len(largest)} samples")
    indices = np.array([places.get(n, k) for n, k in zip(names, largest.tolist(), strict=True)], np.int64)
    if indices.max(initial=0) >= classes:
        raise ValueError(f"it names {len(interface.labels)} classes, but there are scores of {classes}")
    return indices
