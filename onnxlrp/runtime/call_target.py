"""Target of one call of an explainer: checks its arguments and makes the arrays that the model is fed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.target_base import base_of_targets
from onnxlrp.runtime.values import cast
from onnxlrp.targets import TARGETS
from onnxlrp.targets.kind import Resolved, TargetKind


class CallTarget:
    """The target of one call.

    The constructor checks everything that is known before the model runs, and `resolve` the rest, from the outputs.
    """

    def __init__(
        self,
        interface: Interface,
        shape: Sequence[int | str | None] | None,
        added: Mapping[str, TensorSpec],
        batch: int | None,
        arguments: Mapping[str, Any],
    ) -> None:
        """Check the `arguments` of a call that choose its target; those not given are None.

        `shape` is that of the explained output, None if not even its rank is known; `added` holds the declarations of
        the inputs that onnxlrp added; `batch` is the number of samples, None if unknown.
        """
        self._interface, self._kind, self._added = interface, TARGETS[interface.target], added
        given = {name: value for name, value in arguments.items() if value is not None}
        _refuse(given, self._kind, interface)
        if shape is not None and batch is not None:
            shape = [batch if axis == interface.batch_axis else size for axis, size in enumerate(shape)]
        self._given = {name: self._kind.read(name, value, interface, shape) for name, value in given.items()}
        self.check_counts(batch)

    def check_counts(self, batch: int | None) -> None:
        """Raise TargetError if an argument holds neither one value nor as many as the batch has samples."""
        if batch is not None:
            for name, array in self._given.items():
                self._kind.is_per_sample(name, array.shape, self._interface, batch)

    def feeds(self) -> dict[str, np.ndarray]:
        """Make the arrays for the model's added inputs; an input that the file gives no default gets the default of the
        kind of target."""
        feeds = {}
        for argument, name in self._interface.added_inputs.items():
            if argument in self._given or self._interface.required:
                array = self._given.get(argument)
                array = self._kind.default(argument, self._interface) if array is None else array
                feeds[name] = _declared_form(array, argument, self._added.get(name))
        return feeds

    def resolve(self, value: Any, label: Any = None) -> Resolved:
        """Determine the target that was explained; see `TargetKind.resolve`."""
        return self._kind.resolve(self._given, value, label, self._interface)

    def base(self, choice: Resolved, value: Any, at_reference: Any = None) -> np.ndarray | None:
        """Find the base value of the target that was explained; see `base_of_targets`."""
        return base_of_targets(self._interface, choice, self._given, value, at_reference)


def _refuse(given: Mapping[str, Any], kind: TargetKind, interface: Interface) -> None:
    """Raise TargetError for an argument that this model does not take."""
    foreign = [argument for argument in given if argument not in kind.arguments]
    if foreign:
        takers = " or ".join(f'"{other.name}"' for other in TARGETS.values() if foreign[0] in other.arguments)
        wanted = " and ".join(f"{argument}=" for argument in kind.arguments)
        give = f"give {wanted}, or " if wanted else ""
        raise TargetError(
            f"this model explains {kind.explains}, it takes no {foreign[0]}: {give}convert it with target={takers} for "
            "that"
        )
    if given and not interface.added_inputs and not kind.is_one_score(interface):
        raise TargetError(f'this model always explains {kind.by_default}: it was converted with target_input="none"')


def _declared_form(array: np.ndarray, argument: str, spec: TensorSpec | None) -> np.ndarray:
    """Give an array the type, rank and static sizes that its input declares, because onnxruntime insists on them."""
    if spec is None or spec.dtype is None:
        return array
    array = cast(array, argument, spec.dtype)
    if spec.shape is None:
        return array
    array = array.reshape((1,) * (len(spec.shape) - array.ndim) + array.shape)
    sizes = zip(array.shape, spec.shape, strict=True)
    shape = tuple(want if have == 1 and isinstance(want, int) else have for have, want in sizes)
    return np.ascontiguousarray(np.broadcast_to(array, shape))
