"""A kind of target: what every kind says of itself, to emission and to the runtime alike."""

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
"""The index that stands for the default: the predicted class, the last position, the largest element."""


@dataclasses.dataclass(frozen=True)
class Axes:
    """The axes of the explained output that count samples and classes; None where it has no such axis."""

    batch: int | None
    classes: int | None


@dataclasses.dataclass(frozen=True)
class Choice:
    """One score of each sample, of [N, C] or [N, T, V]: its place, within range, and whether it was meant, [N, 1]."""

    index: ir.Value
    exists: ir.Value
    """False where what was asked for is out of range."""
    position: ir.Value | None = None


@dataclasses.dataclass(frozen=True)
class Seed:
    """1 (or the weights) at the chosen elements of the score, 0 elsewhere.

    `tensor` has the score's shape; with K targets there is a leading axis of K.
    """

    tensor: ir.Value
    choice: Choice | None = None
    """The one score of each sample that is explained, where the last product may be narrowed to it."""


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The target that a call explained, once its outputs are known."""

    target: np.ndarray | None = None
    """What was explained, as the input `target` takes it for N samples; None where the kind has no such input."""
    score: np.ndarray | None = None
    """The explained output there, [N] (or [N, K]); None where nothing is chosen or the output is no array."""
    position: np.ndarray | None = None
    """The positions of token targets, int64 [N]."""


Given = Mapping[str, np.ndarray]
"""The checked arrays of one call by argument; an argument that was not given is missing."""


class Kind(abc.ABC):
    """A kind of target. `arguments` are those of an explainer's call that it takes, each with an input in the graph."""

    name: ClassVar[str]
    explains: ClassVar[str]
    """The words for what is explained, "a class", in messages."""
    by_default: ClassVar[str]
    """The words for what is explained where nothing is given."""
    arguments: ClassVar[tuple[str, ...]] = ("target",)
    several: ClassVar[bool] = True
    """True where one call may explain K targets."""
    follows_label: ClassVar[bool] = False
    """True where the default is the class that the model's label output names."""

    # At conversion

    @abc.abstractmethod
    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        """The axes of the score that count samples and classes; `inputs` are the model's.

        `name` is the output's own, for errors: the score may lie upstream of it. Raises TargetError where the shape
        needs another kind of target.
        """

    @abc.abstractmethod
    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        """Add the kind's inputs to the graph, and the nodes of the seed."""

    # At a call

    @abc.abstractmethod
    def read(
        self, argument: str, value: Any, interface: Interface, shape: Sequence[int | str | None] | None
    ) -> np.ndarray:
        """The array for an argument of a call. Raises TargetError where it cannot be meant.

        `shape` is the explained output's as far as it is known; the batch is a number where that is.
        """

    @abc.abstractmethod
    def default(self, argument: str, interface: Interface) -> np.ndarray:
        """The array that stands for an argument that was not given, where its input has no default."""

    @abc.abstractmethod
    def resolve(self, given: Given, value: Any, label: Any, interface: Interface) -> Resolved:
        """The target that was explained and the score there.

        `value` is the explained output of this run, `label` the label output where the interface names one. Raises
        TargetError for an index outside the output, ValueError where the label output does not name classes.
        """

    def scores(self, value: Any, interface: Interface) -> np.ndarray | None:
        """The explained output as [N, …] with every score that might be chosen; None where there is no choice."""
        return None

    def input_shape(self, interface: Interface) -> tuple[int | None, ...]:
        """The shape that the input `target` must be declared with; None for any size."""
        return (None,) if interface.targets == 1 else (None, interface.targets)

    def one_sample(self, argument: str, interface: Interface) -> int:
        """The number of axes of one sample's value for an argument."""
        return int(argument == "target" and interface.targets > 1)

    def is_one_score(self, interface: Interface) -> bool:
        """Decide whether the explained output is one score per sample, so that there is nothing to choose."""
        return False

    def check_counts(self, given: Given, batch: int | None) -> None:
        """Raise TargetError where an array holds neither one value nor as many as the batch has samples."""
        for name, array in given.items():
            if batch is not None and len(array) not in (1, batch):
                raise TargetError(
                    f"{len(array)} values for {name}, but the batch holds {batch} samples: give 1 or {batch}"
                )

    def is_per_sample(self, argument: str, shape: Sequence[int], interface: Interface, count: int) -> bool:
        """Decide whether axis 0 of an argument of this shape counts the samples. Raises TargetError where it must and
        does not."""
        if len(shape) <= self.one_sample(argument, interface):
            return False
        if shape[0] not in (1, count):
            raise TargetError(f"{shape[0]} values for {argument}, but there are {count} samples: give 1 or {count}")
        return shape[0] == count and count > 1


def sizes(value: ir.Value, name: str) -> list[int | str | None]:
    """The sizes of the score's axes: a number, a symbol or None. Raises TargetError where the rank is unknown."""
    if value.shape is None:
        raise TargetError(
            f"the rank of the explained output {name!r} cannot be inferred; name another output, or use "
            'target="weights"'
        )
    return [d if isinstance(d, int) else d.value for d in value.shape]
