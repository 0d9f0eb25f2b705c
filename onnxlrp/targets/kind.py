"""Kind of target: everything that emission and runtime ask of each."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder

PREDICTED = -1
"""Index that stands for the default: the predicted class, the last position, the largest element."""


@dataclasses.dataclass(frozen=True)
class Axes:
    """Axes of the explained output that count samples and classes; None if it has no such axis."""

    batch: int | None
    classes: int | None


@dataclasses.dataclass(frozen=True)
class Choice:
    """Choice of one score for each sample, out of [N, C] or [N, T, V].

    `index` is the class, int64 [N, 1], moved into range, so that it can always be gathered.
    """

    index: ir.Value
    exists: ir.Value
    """True if the requested index was in range, bool [N, 1]; if it was not, the sample gets no relevance."""
    position: ir.Value | None = None


@dataclasses.dataclass(frozen=True)
class Seed:
    """Selection of the scores that relevance starts from: 1 (or the weights) at the chosen elements, 0 elsewhere.

    `tensor` has the score's shape; with K targets there is a leading axis of K.
    """

    tensor: ir.Value
    choice: Choice | None = None
    """Single score that each sample explains, if the last product may be narrowed to it."""


@dataclasses.dataclass(frozen=True)
class Resolved:
    """Target that a call explained, once its outputs are known."""

    target: np.ndarray | None = None
    """Explained target of N samples, in the form that the input `target` takes; None if the kind has no such input."""
    score: np.ndarray | None = None
    """Explained output at the target, [N] (or [N, K]); None if nothing is chosen or the output is no array."""
    position: np.ndarray | None = None
    """Positions of token targets, int64 [N]."""


Arguments = Mapping[str, np.ndarray]
"""Checked arrays of one call by argument, without those that were not given."""
Sizes = Sequence[int | str | None]
"""Sizes of the score's axes: a number, a symbol or None."""


class TargetKind(abc.ABC):
    """A kind of target.

    Every kind has its names, `layout` and `seed`. A kind whose explained thing a caller may choose has `arguments` too,
    and with them `read`, `sample_shape` and `resolve`.
    """

    name: ClassVar[str]
    """Name of the kind in `convert(target=...)`."""
    explains: ClassVar[str]
    """Noun for the explained thing in messages, such as "a class"."""
    by_default: ClassVar[str]
    """Noun for the thing that is explained by default."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """Arguments of an explainer's call that choose the target, each with an input of its own in the graph."""
    several: ClassVar[bool] = False
    """True if one call may explain K targets: the seed then has a leading axis of K."""
    follows_label: ClassVar[bool] = False
    """True if the default is the class that the model's label output names."""

    # At conversion

    @abc.abstractmethod
    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        """Find the axes of the score that count samples and classes; `inputs` are the model's.

        `name` is the output's own, for errors: the score may lie upstream of it. Raises TargetError if the shape needs
        another kind of target.
        """

    @abc.abstractmethod
    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        """Add the kind's inputs to the graph, and the nodes of the seed."""

    # At a call

    def read(self, argument: str, value: Any, interface: Interface, shape: Sizes | None) -> np.ndarray:
        """Convert an argument of a call to its array. Raises TargetError if the value makes no sense for it.

        `shape` is the explained output's as far as it is known; the batch is a number if that is known.
        """
        raise NotImplementedError

    def sample_shape(self, argument: str, interface: Interface) -> tuple[int, ...]:
        """Return the shape of one sample's value for an argument. Raises ValueError if a file does not tell it."""
        return ()

    def default(self, argument: str, interface: Interface) -> np.ndarray:
        """Make the default of an argument, for models whose input for it has none."""
        return np.full((1, *self.sample_shape(argument, interface)), PREDICTED, np.int64)

    def resolve(self, given: Arguments, value: Any, label: Any, interface: Interface) -> Resolved:
        """Determine the target that was explained, and its score.

        `value` is the explained output of this run, `label` the label output if the interface names one. Raises
        TargetError for an index outside the output, and ValueError if the label output does not name classes.
        """
        return Resolved()

    def scores(self, value: Any, interface: Interface) -> np.ndarray | None:
        """Arrange the explained output as [N, …] with every score that might be chosen; None if there is no choice."""
        return None

    def is_one_score(self, interface: Interface) -> bool:
        """Decide whether the explained output is one score per sample, so that there is nothing to choose."""
        return False

    def is_per_sample(self, argument: str, shape: Sequence[int], interface: Interface, count: int) -> bool:
        """Decide whether axis 0 of this shape counts the samples. Raises TargetError if it must and does not."""
        if len(shape) <= len(self.sample_shape(argument, interface)):
            return False
        if shape[0] not in (1, count):
            many = f"there are {count} samples: give 1 or {count}" if count > 1 else "there is one sample: give one"
            more = f"; a model converted with targets={shape[0]} explains {shape[0]} at once" if self.several else ""
            raise TargetError(f"{shape[0]} values for {argument}, but {many}{more}")
        return shape[0] == count and count > 1


def sizes(value: ir.Value, name: str) -> Sizes:
    """List the sizes of the score's axes. Raises TargetError if the rank is unknown."""
    if value.shape is None:
        raise TargetError(
            f"the rank of the explained output {name!r} cannot be inferred; name another output, or use "
            'target="weights"'
        )
    return [d if isinstance(d, int) else d.value for d in value.shape]
