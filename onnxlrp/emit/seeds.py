"""The start of relevance: the explained score, the inputs that choose a target, and the seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InputError, TargetError
from onnxlrp.graph.builder import Builder
from onnxlrp.printable import escaped
from onnxlrp.source.label_output import Label


@dataclasses.dataclass(frozen=True)
class Axes:
    """How the explained output is laid out."""

    batch: int | None
    classes: int | None


@dataclasses.dataclass(frozen=True)
class Choice:
    """One score of each sample, of [N, C] or [N, T, V]: its place, within range, and whether it was meant, [N, 1]."""

    index: ir.Value
    exists: ir.Value
    """False where what was asked for is out of range."""
    position: ir.Value | None = None


@dataclasses.dataclass
class Seed:
    """1 (or the weights) at the chosen elements of the score, 0 elsewhere.

    `tensor` has the score's shape; with K targets there is a leading axis of K.
    """

    tensor: ir.Value
    axes: Axes
    target: ir.Value | None = None
    position: ir.Value | None = None
    weights: ir.Value | None = None
    choice: Choice | None = None
    """The one score of each sample that is explained, where it is one."""


@dataclasses.dataclass
class Options:
    """The arguments of `convert` that concern the target."""

    kind: str = "class"
    targets: int = 1
    target_input: str = "optional"

    def __post_init__(self) -> None:
        if self.kind not in ("class", "token", "weights"):
            raise InputError(f'target is "class", "token" or "weights", not {self.kind!r}')
        if self.target_input not in ("optional", "required", "none"):
            raise InputError(f'target_input is "optional", "required" or "none", not {self.target_input!r}')
        if not isinstance(self.targets, int) or self.targets < 1:
            raise InputError(f"targets is a number of at least 1, not {self.targets!r}")
        if self.targets > 1 and (self.kind == "weights" or self.target_input == "none"):
            raise InputError('targets above 1 need target="class" or "token" and an input to name them with')


def layout(score: ir.Value, kind: str, inputs: list[ir.Value], name: str) -> Axes:
    """Which axes of the score count samples and classes.

    `name` is the output's own, for errors: the score may lie upstream of it. Raises TargetError where the rank needs
    another kind of target.
    """
    if kind == "weights" and score.shape is None:
        return Axes(0, None)
    if score.shape is None:
        raise TargetError(
            f"the rank of the explained output {name!r} cannot be inferred; name another output, or use "
            'target="weights"'
        )
    dims = list(score.shape)
    rank = len(dims)
    if kind == "weights":
        return Axes(0 if rank else None, None)
    if kind == "token":
        if rank != 3:
            other = "class" if rank < 3 else "weights"
            raise TargetError(
                f'target="token" needs scores of rank 3 [N, T, V]; {name!r} has rank {rank}: use target="{other}"'
            )
        return Axes(0, 2)
    if rank == 0:
        return Axes(None, None)
    if rank == 1:
        return _one_axis(dims[0], inputs)
    if any(d != 1 for d in dims[2:]):
        shape = ", ".join(str(d) if isinstance(d, int) else escaped(d.value or "?") for d in dims)
        raise TargetError(
            f"the explained output {name!r} has shape [{shape}], more than one score per class: use "
            'target="token" (scores [N, T, V]) or target="weights" (any shape), or name another output'
        )
    return Axes(0, 1)


def _one_axis(dim: int | ir.SymbolicDim, inputs: list[ir.Value]) -> Axes:
    """Rank 1: one score per sample if that axis is the batch, else the classes."""
    batches = [v.shape[0] for v in inputs if v.shape is not None and len(v.shape) > 0]
    if dim == 1 or dim in batches or not isinstance(dim, int):
        return Axes(0, None)
    return Axes(None, 0)


class Seeder:
    """Adds the target's inputs to the graph and builds the seed."""

    def __init__(
        self,
        op: Builder,
        score: ir.Value,
        visible: ir.Value,
        label: Label | None,
        options: Options,
        dtype: ir.DataType,
        unique: Callable[[str], str],
    ) -> None:
        """`visible` is the model's own output, in the layout of `score`: the default class is its largest element,
        unless a label output names another."""
        self.op, self.score, self.visible, self.label = op, score, visible, label
        self.options, self.dtype, self.unique = options, dtype, unique

    def build(self, axes: Axes, output_name: str) -> Seed:
        """The seed for a layout; `output_name` names the weights' input."""
        if self.options.kind == "weights":
            return self._weights(axes, output_name)
        if self.options.kind == "token":
            return self._token(axes)
        op, visible = self.op, self.visible
        if axes.classes == 1:
            # No Reshape: [0, -1] fails where there are no samples, the boxes of an empty picture.
            spatial = range(2, len(self.score.shape or ()))
            flat = op.Squeeze(visible, op.ints(spatial)) if spatial else visible
        else:
            flat = op.Reshape(visible, op.ints([-1, 1] if axes.classes is None else [1, -1]))
        target, index, onehot = self._classes(flat)
        one = self.options.targets == 1 and axes.classes == 1
        return Seed(self._shaped(onehot), axes, target=target, choice=self._within(flat, index) if one else None)

    def _classes(self, flat: ir.Value) -> tuple[ir.Value | None, ir.Value, ir.Value]:
        """The target's input, the class of each row of [N, C], and 1 there: [N, C], or [N, K, C] with K targets."""
        op, many = self.op, self.options.targets
        predicted = op.ArgMax(flat, axis=1, keepdims=1)
        if self.label is not None:
            predicted = self._named(self.label, predicted)
        target = None
        chosen = predicted
        if self.options.target_input != "none":
            target = self._choice("target", many)
            asked = op.Reshape(target, op.ints([-1, many] if many > 1 else [-1, 1]))
            chosen = op.Where(op.Equal(asked, op.ints_scalar(-1)), predicted, asked)
        if many > 1:
            chosen = op.Unsqueeze(chosen, op.ints([2]))
        return target, chosen, op.one_hot(chosen, op.dim(flat, 1), self.dtype)

    def _named(self, label: Label, largest: ir.Value) -> ir.Value:
        """The class that the label output names, [N, 1]; the one with the largest score where it names none.

        onnxruntime answers 0 or 1 for a forest with weights of both of two classes, whatever their labels are.
        """
        op, classes = self.op, label.classes
        words = isinstance(classes[0], str)
        value = label.value if words else op.cast(label.value, ir.DataType.INT64)
        names = op.words([str(c) for c in classes]) if words else op.ints([int(c) for c in classes])
        same = op.Equal(op.Reshape(value, op.ints([-1, 1])), op.Unsqueeze(names, op.ints([0])))
        named = op.cast(same, ir.DataType.FLOAT)  # CUDA compares no integers
        known = op.Greater(op.ReduceMax(named, op.ints([1]), keepdims=1), 0.0)
        return op.Where(known, op.ArgMax(named, axis=1, keepdims=1), largest)

    def _token(self, axes: Axes) -> Seed:
        """Scores [N, T, V]: one class at one position."""
        op, score, many = self.op, self.score, self.options.targets
        position = None
        tokens = op.Sub(op.dim(score, 1), op.ints([1]))
        place = op.Expand(tokens, op.dim(score, 0))
        if self.options.target_input != "none":
            position = self._choice("position", 1)
            place = op.Expand(op.Where(op.Equal(position, op.ints_scalar(-1)), tokens, position), op.dim(score, 0))
        place = op.Unsqueeze(place, op.ints([1]))
        inside = op.Max(op.Min(place, tokens), op.ints_scalar(0))
        scores = op.GatherND(self.visible, inside, batch_dims=1)
        target, index, onehot = self._classes(scores)
        there = op.Unsqueeze(op.one_hot(place, op.dim(score, 1), self.dtype), op.ints([2]))
        if many > 1:
            # [N, 1, T, 1] · [N, K, 1, V]
            all_there, onehot = op.Unsqueeze(there, op.ints([1])), op.Unsqueeze(onehot, op.ints([2]))
            return Seed(self._shaped(op.Mul(all_there, onehot)), axes, target=target, position=position)
        tensor = self._shaped(op.Mul(there, op.Unsqueeze(onehot, op.ints([1]))))
        choice = self._within(scores, index)
        exists = op.And(choice.exists, op.Equal(place, inside))
        choice = dataclasses.replace(choice, exists=exists, position=inside)
        return Seed(tensor, axes, target=target, position=position, choice=choice)

    def _within(self, flat: ir.Value, index: ir.Value) -> Choice:
        """The class chosen of [N, C]."""
        op = self.op
        known = op.Max(op.Min(index, op.Sub(op.dim(flat, 1), op.ints([1]))), op.ints_scalar(0))
        return Choice(known, op.Equal(index, known))

    def _shaped(self, onehot: ir.Value) -> ir.Value:
        """In the score's shape; with K targets [K, score's shape]."""
        op, shape = self.op, self.op.shape(self.score)
        if self.options.targets == 1:
            return op.Reshape(onehot, shape)
        rank = len(onehot.shape or ())
        first = op.Transpose(onehot, perm=[1, 0, *range(2, rank)])
        return op.Reshape(first, op.Concat(op.ints([self.options.targets]), shape, axis=0))

    def _weights(self, axes: Axes, output_name: str) -> Seed:
        op, shape = self.op, self.op.shape(self.score)
        if self.options.target_input == "none":
            return Seed(op.full(shape, 1, self.dtype), axes)
        rank = 0 if self.score.shape is None else len(self.score.shape)
        default = np.ones([1] * rank, self.dtype.numpy())
        dims = None
        if self.score.shape is not None:
            dims = [ir.SymbolicDim(f"{output_name}_weights_{a}") for a in range(rank)]
        weights = self._input(f"{output_name}_weights", self.dtype, dims, default)
        return Seed(op.Expand(weights, shape), axes, weights=weights)

    def _choice(self, name: str, many: int) -> ir.Value:
        """An int64 input, default −1."""
        batch = None if not self.score.shape else self.score.shape[0]
        named = isinstance(batch, ir.SymbolicDim) and batch.value is not None
        first = batch if named or batch == 1 else ir.SymbolicDim(f"{name}_batch")
        shape = [first] if many == 1 else [first, many]
        default = np.full([1] if many == 1 else [1, many], -1, np.int64)
        return self._input(name, ir.DataType.INT64, shape, default)

    def _input(self, name: str, dtype: ir.DataType, shape: list | None, default: np.ndarray) -> ir.Value:
        name = self.unique(name)
        value = ir.Value(name=name, type=ir.TensorType(dtype), shape=None if shape is None else ir.Shape(shape))
        graph = self.op.graph
        graph.inputs.append(value)
        if self.options.target_input == "optional":
            value.const_value = ir.tensor(default, name=name)
            graph.register_initializer(value)
        return value
