"""Start of relevance: the explained score, the inputs that choose part of it, and nodes that kinds of target share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.targets.kind import PREDICTED, Choice, TargetKind

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.source.label_output import Label
    from onnxlrp.source.question import Question


@dataclasses.dataclass(frozen=True)
class TargetOptions:
    """Options of `convert` that concern the target, checked."""

    kind: TargetKind
    targets: int = 1
    target_input: str = "optional"
    """Way in which the explained model takes its target: "optional", "required" or "none"."""

    def __post_init__(self) -> None:
        if self.target_input not in ("optional", "required", "none"):
            raise InputError(f'target_input is "optional", "required" or "none", not {self.target_input!r}')
        whole = isinstance(self.targets, (int, np.integer)) and not isinstance(self.targets, bool)
        if not whole or self.targets < 1:
            raise InputError(f"targets is a whole number from 1 on, not {self.targets!r:.80}")
        object.__setattr__(self, "targets", int(self.targets))
        if self.targets > 1 and not self.kind.several:
            raise InputError(
                f"targets above 1 need another target than {self.kind.name!r}, which is one for each sample"
            )
        if self.targets > 1 and not self.has_input:
            raise InputError('targets above 1 need a target_input other than "none"')

    @property
    def has_input(self) -> bool:
        """True if the explained model takes its target as an input."""
        return self.target_input != "none"


@dataclasses.dataclass(eq=False, repr=False)
class Seeder:
    """Builder of the seed of a score in the graph of `op`, which adds the target's inputs to the graph."""

    op: Builder
    question: Question
    """The score, and the model's own output in its layout: the default class is its largest element, unless there is a
    label output."""
    options: TargetOptions
    dtype: ir.DataType
    unique: Callable[[str], str]
    inputs: dict[str, ir.Value] = dataclasses.field(default_factory=dict)
    """Inputs added so far, by the argument of an explainer's call that they take."""

    def classes(self, flat: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Choose the class of each row of [N, C]: its index, and a one-hot [N, C], or [N, K, C] with K targets."""
        op, many = self.op, self.options.targets
        predicted = op.ArgMax(flat, axis=1, keepdims=1)
        if self.question.label is not None:
            predicted = self._named(self.question.label, predicted)
        chosen = predicted
        if self.options.has_input:
            asked = self.index("target", "target", *([many] if many > 1 else []), each=[many])
            chosen = op.Where(op.Equal(asked, op.ints_scalar(PREDICTED)), predicted, asked)
        if many > 1:
            chosen = op.Unsqueeze(chosen, op.ints([2]))
        return chosen, op.one_hot(chosen, op.dim(flat, 1), self.dtype)

    def _named(self, label: Label, largest: ir.Value) -> ir.Value:
        """Find the class that the label output names, [N, 1]; the largest score's class if the label is unknown.

        onnxruntime answers 0 or 1 for a forest that has weights for both of two classes, whatever their labels are.
        """
        op, classes = self.op, label.classes
        words = isinstance(classes[0], str)
        value = label.value if words else op.cast(label.value, ir.DataType.INT64)
        names = op.words([str(c) for c in classes]) if words else op.ints([int(c) for c in classes])
        same = op.Equal(op.Reshape(value, op.ints([-1, 1])), op.Unsqueeze(names, op.ints([0])))
        named = op.cast(same, ir.DataType.FLOAT)  # CUDA compares no integers
        known = op.Greater(op.ReduceMax(named, op.ints([1]), keepdims=1), 0.0)
        return op.Where(known, op.ArgMax(named, axis=1, keepdims=1), largest)

    def within(self, flat: ir.Value, index: ir.Value) -> Choice:
        """Make a choice out of [N, C], moving an index that is out of range into it."""
        op = self.op
        known = op.Max(op.Min(index, op.Sub(op.dim(flat, 1), op.ints([1]))), op.ints_scalar(0))
        return Choice(known, op.Equal(index, known))

    def shaped(self, onehot: ir.Value) -> ir.Value:
        """Reshape a one-hot to the score's shape; with K targets to [K, score's shape]."""
        op, shape = self.op, self.op.shape(self.question.score)
        if self.options.targets == 1:
            return op.Reshape(onehot, shape)
        rank = len(onehot.shape or ())
        first = op.Transpose(onehot, perm=[1, 0, *range(2, rank)])
        return op.Reshape(first, op.Concat(op.ints([self.options.targets]), shape, axis=0))

    def index(self, argument: str, name: str, *rest: int, each: Sequence[int] | None = None) -> ir.Value:
        """Add an int64 input [N, *rest] for indices, default −1, and return its content as [N, *each], else [N, *rest].

        The default is one row under the symbol of the batch, and onnxruntime, which reuses buffers by symbol, must not
        take what is computed from it for N rows: so it is reshaped always.
        """
        batch = None if not self.question.score.shape else self.question.score.shape[0]
        named = isinstance(batch, ir.SymbolicDim) and batch.value is not None
        first = batch if named or batch == 1 else ir.SymbolicDim(f"{name}_batch")
        index = self.input(argument, name, ir.DataType.INT64, [first, *rest], np.full([1, *rest], PREDICTED, np.int64))
        return self.op.Reshape(index, self.op.ints([-1, *(rest if each is None else each)]))

    def input(
        self, argument: str, name: str, dtype: ir.DataType, shape: Sequence | None, default: np.ndarray
    ) -> ir.Value:
        """Add an input to the graph for an argument of an explainer's call."""
        name = self.unique(name)
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=None if shape is None else ir.Shape(shape))
        graph = self.op.graph
        graph.inputs.append(value)
        self.inputs[argument] = value
        if self.options.target_input == "optional":
            value.const_value = ir.tensor(default, name=name)
            graph.register_initializer(value)
        return value
