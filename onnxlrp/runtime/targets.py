"""The target of a call, checked, and the classes that it meant."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.runtime.inputs import TensorSpec, shape_text
from onnxlrp.runtime.values import cast

PREDICTED = -1


class Target:
    """The target of one call: made from what the user gave, it knows what to feed and what was explained.

    Everything that is known statically is checked here, the rest by `resolve` once the outputs are known.
    """

    def __init__(
        self,
        interface: Interface,
        output: TensorSpec | None,
        weights_port: TensorSpec | None,
        batch: int | None,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
    ) -> None:
        """`output`: the explained output in the shape that it has, `weights_port`: the declaration of the input that
        takes weights, `batch`: the number of samples; None where unknown."""
        self._interface = interface
        self._output = output
        self.positions: np.ndarray | None = None
        """The positions that were explained, int64 [N], of a token target once it is resolved."""
        _refuse_foreign(interface, target, position, weights)
        self._weights_port = weights_port
        self._weights = None if weights is None else _weights(weights, output, interface.batch_axis, batch)
        self._target = None if target is None else _indices(target, "target", interface.targets)
        self._position = None if position is None else _indices(position, "position", 1)
        self.check_counts(batch)
        if self._target is not None:
            classes = 1 if interface.class_axis is None else self._declared(interface.class_axis)
            self._check_range(self._target, classes, "target", "class")

    def check_counts(self, batch: int | None) -> None:
        """Raises TargetError where there are neither one target and position nor as many as a batch has samples."""
        for name, given in (("target", self._target), ("position", self._position)):
            if given is not None and batch is not None and len(given) not in (1, batch):
                raise TargetError(
                    f"{len(given)} values for {name}, but the batch holds {batch} samples: give 1 or {batch}"
                )

    def feeds(self) -> dict[str, np.ndarray]:
        """The arrays for the model's added inputs; a model without defaults gets -1 and ones."""
        interface = self._interface
        feeds: dict[str, np.ndarray] = {}
        for name, given in ((interface.target_input, self._target), (interface.position_input, self._position)):
            if name is None:
                continue
            if given is not None:
                feeds[name] = given
            elif interface.required:
                many = name == interface.target_input and interface.targets > 1
                feeds[name] = np.full((1, interface.targets) if many else (1,), PREDICTED, np.int64)
        if interface.weights_input is not None and (self._weights is not None or interface.required):
            weights = np.ones(()) if self._weights is None else self._weights
            feeds[interface.weights_input] = _declared_form(weights, self._weights_port)
        return feeds

    def resolve(self, value: Any, label: Any = None) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The classes that were explained and the explained output there, [N] (or [N, K]); None where it has none.

        `value` is the explained output of this run, `label` the label output that names the default class, where the
        interface has one. Raises TargetError for an index outside its axes, ValueError where the label output does not
        name classes.
        """
        if self._interface.target == "weights":
            return None, None
        scores = scores_of(value, self._interface)
        if scores is None:
            return self._target, None
        if self._target is not None:
            self._check_range(self._target, scores.shape[-1], "target", "class")
        if scores.ndim == 3:
            scores = self._at_position(scores)
        samples = len(scores)
        predicted = _largest(scores)
        if label is not None:
            predicted = self._named(label, predicted, scores.shape[-1])
        if self._interface.targets > 1:
            predicted = np.repeat(predicted[:, None], self._interface.targets, axis=1)
        classes = np.array(predicted, np.int64)
        if self._target is not None:
            given = np.broadcast_to(self._target, predicted.shape)
            classes = np.where(given == PREDICTED, predicted, given)
        picked = np.take_along_axis(scores, classes.reshape(samples, self._interface.targets), axis=1).reshape(
            classes.shape
        )
        return classes, picked

    def _named(self, label: Any, largest: np.ndarray, classes: int) -> np.ndarray:
        """The classes that a label output names, [N]; the largest where it names none."""
        places = {name: index for index, name in enumerate(self._interface.labels)}
        names = np.asarray(label).reshape(-1).tolist() if isinstance(label, np.ndarray) else []
        if len(names) != len(largest):
            raise ValueError(f"the label output names {len(names)} classes of {len(largest)} samples")
        found = np.array([places.get(n, k) for n, k in zip(names, largest.tolist(), strict=True)], np.int64)
        if found.max(initial=0) >= classes:
            raise ValueError(f"it names {len(self._interface.labels)} classes, but there are scores of {classes}")
        return found

    def _at_position(self, scores: np.ndarray) -> np.ndarray:
        """[N, T, V] -> [N, V] at the positions that were asked for."""
        samples, length = scores.shape[:2]
        position = np.array([PREDICTED]) if self._position is None else self._position
        self._check_range(position, length, "position", "position")
        self.positions = np.broadcast_to(np.where(position == PREDICTED, length - 1, position), (samples,))
        return scores[np.arange(samples), self.positions]

    def _check_range(self, given: np.ndarray, count: int | None, name: str, thing: str) -> None:
        low = int(given.min(initial=0))
        high = int(given.max(initial=0))
        meaning = "the predicted class" if name == "target" else "the last one"
        if low < PREDICTED:
            raise TargetError(f"{name} {low}: there are no negative indices here, -1 means {meaning}")
        if count is not None and high >= count:
            output = self._interface.output
            if count == 1:
                raise TargetError(f"{name} {high}: {output!r} has one {thing} only; leave {name} out")
            raise TargetError(f"{name} {high}: {output!r} has the {_plural(thing)} 0 to {count - 1}")

    def _declared(self, axis: int) -> int | None:
        shape = None if self._output is None else self._output.shape
        if shape is None or not -len(shape) <= axis < len(shape):
            return None
        size = shape[axis]
        return size if isinstance(size, int) else None


def _largest(scores: np.ndarray) -> np.ndarray:
    return scores.argmax(axis=-1) if scores.shape[-1] else np.zeros(len(scores), np.int64)


def scores_of(value: Any, interface: Interface) -> np.ndarray | None:
    """The explained output as [N, C], or [N, T, C] for a token target; None where it is no array of scores.

    Maps of ZipMap (a list of one dict per sample) become rows in the order of their keys in the model.
    """
    if value is None:
        return None
    if isinstance(value, list):
        if not value or not all(isinstance(entry, dict) for entry in value):
            return None
        return np.array([list(entry.values()) for entry in value])
    scores = np.asarray(value)
    batch, classes = interface.batch_axis, interface.class_axis
    if scores.ndim and max(batch or 0, classes or 0) >= scores.ndim:
        return None
    order = [axis % scores.ndim for axis in (batch, classes) if axis is not None and scores.ndim]
    rest = [axis for axis in range(scores.ndim) if axis not in order]
    inner = int(np.prod([scores.shape[axis] for axis in rest], dtype=np.int64))
    samples = 1 if batch is None else scores.shape[batch]
    count = 1 if classes is None else scores.shape[classes]
    first = order[:1] if batch is not None else []
    last = order[-1:] if classes is not None else []
    scores = scores.transpose([*first, *rest, *last])
    if interface.target == "token":
        return scores.reshape(samples, inner, count)
    return scores.reshape(samples, count) if inner == 1 else None


def _refuse_foreign(interface: Interface, target: Any, position: Any, weights: Any) -> None:
    """Raises TargetError where a kind of target is given that this model does not take."""
    kind = interface.target
    if weights is not None and kind != "weights":
        raise TargetError(
            f'this model explains a {kind}, it takes no weights: convert it with target="weights" for that'
        )
    if kind == "weights" and (target is not None or position is not None):
        raise TargetError('this model was converted with target="weights": give weights=, not target or position')
    if position is not None and kind != "token":
        raise TargetError('this model explains a class, it takes no position: convert it with target="token" for that')
    fixed = interface.target_input is None and interface.class_axis is not None
    if target is not None and kind != "weights" and fixed:
        raise TargetError('this model always explains the predicted class: it was converted with target_input="none"')


def _indices(given: Any, name: str, targets: int) -> np.ndarray:
    """int64 [1] or [N], or [1, K] or [N, K] with K targets."""
    array = to_numbers(given, name)
    if array.dtype.kind not in "iu" or array.size == 0 or array.max() > np.iinfo(np.int64).max:
        raise TargetError(f"{name} must be an integer or an array of integers, not {given!r:.80}")
    array = array.astype(np.int64)
    if targets > 1:
        array = array[None] if array.ndim == 1 else array
        if array.ndim != 2 or array.shape[1] != targets:
            raise TargetError(
                f"this model explains {targets} classes at once: give {name} as [{targets}], [1, {targets}] or "
                f"[N, {targets}], not {shape_text(np.shape(given))}"
            )
        return array
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim > 1:
        raise TargetError(f"{name} must be one integer or one per sample, not an array {shape_text(array.shape)}")
    return array.reshape(-1)


def _weights(given: Any, output: TensorSpec | None, batch_axis: int | None, batch: int | None) -> np.ndarray:
    """Numbers that can be broadcast to the explained output, as far as its shape is known."""
    weights = to_numbers(given, "weights")
    if weights.dtype.kind not in "biuf":
        raise TargetError(f"weights must be numbers, not {weights.dtype}")
    if output is None or output.shape is None:
        return weights
    shape = [batch if axis == batch_axis and batch is not None else size for axis, size in enumerate(output.shape)]
    pairs = zip(reversed(weights.shape), reversed(shape), strict=False)
    bad = any(have != 1 and isinstance(want, int) and have != want for have, want in pairs)
    if weights.ndim > len(shape) or bad:
        raise TargetError(f"weights {shape_text(weights.shape)} do not fit {output.name!r} {shape_text(shape)}")
    return weights


def to_numbers(given: Any, name: str) -> np.ndarray:
    """An array of the numbers that were given. Raises TargetError where they make none, or where some are masked."""
    if np.ma.is_masked(given):
        raise TargetError(f"{name} holds masked values: fill them in first")
    try:
        return np.asarray(given)
    except Exception as error:  # whatever a library's __array__ raises
        raise TargetError(f"{name} must be numbers: {error}") from error


def _declared_form(weights: np.ndarray, port: TensorSpec | None) -> np.ndarray:
    """The same weights in the type, rank and static sizes that onnxruntime insists on."""
    weights = cast(weights, "weights", np.dtype(np.float32) if port is None or port.dtype is None else port.dtype)
    if port is None or port.shape is None:
        return weights
    weights = weights.reshape((1,) * (len(port.shape) - weights.ndim) + weights.shape)
    sizes = zip(weights.shape, port.shape, strict=True)
    shape = tuple(want if have == 1 and isinstance(want, int) else have for have, want in sizes)
    return np.ascontiguousarray(np.broadcast_to(weights, shape))


def _plural(thing: str) -> str:
    return "classes" if thing == "class" else thing + "s"
