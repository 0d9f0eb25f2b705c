"""Channels of inner values that the relevance of a call passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.interface import Interface
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import listed, shape_text
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.targets.argument_arrays import to_numbers


def masks_of(value: Any, interface: Interface, added: Mapping[str, TensorSpec]) -> dict[str, np.ndarray]:
    """Turn the argument `channels` of a call into masks [1, channels] or [N, channels] by inner value.

    Raises InputError for a model without concepts, an unknown value, and channels that it does not have.
    """
    if value is None:
        return {}
    known = interface.mask_inputs
    if not known:
        raise InputError("this model has no concepts whose channels could be chosen: convert it with concepts=[...]")
    if not isinstance(value, Mapping):
        if len(known) > 1:
            raise InputError(f"channels is a dictionary, because the model has several concepts: {listed(known)}")
        value = {next(iter(known)): value}
    for name in value:
        if name not in known:
            near = did_you_mean(str(name), known)
            raise InputError(f"{name!r} is no concept of this model{near}; it has {listed(known)}")
    return {name: _mask(name, chosen, added[known[name]]) for name, chosen in value.items()}


def _mask(name: str, chosen: Any, spec: TensorSpec) -> np.ndarray:
    """Make one mask: integers name channels, anything else is the mask itself."""
    array, count = to_numbers(chosen, "channels"), (spec.shape or (None, None))[-1]
    if (array.dtype.kind in "iu" and array.ndim < 2) or array.shape == (0,):
        return _of_indices(name, array, count)
    if array.dtype.kind not in "bf":
        raise InputError(f"channels of {name!r} are integers, or a mask of floats, not {array.dtype}")
    mask = array[None] if array.ndim == 1 else array
    if mask.ndim != 2 or (isinstance(count, int) and mask.shape[1] != count):
        want = shape_text((count if isinstance(count, int) else "C",))
        raise InputError(f"the mask of {name!r} is {shape_text(array.shape)}, not {want}, or that for each sample")
    return mask.astype(spec.dtype)


def _of_indices(name: str, indices: np.ndarray, count: int | str | None) -> np.ndarray:
    if not isinstance(count, int):
        raise InputError(f"the model leaves the number of channels of {name!r} open: give a mask of floats")
    indices = indices.reshape(-1).astype(np.int64)
    if len({*indices.tolist()}) < len(indices):
        raise InputError(f"channels of {name!r} are named twice: a mask is given as floats, such as [1.0, 0.0]")
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise InputError(
            f"{name!r} has the channels 0 to {count - 1}, not {int(next(i for i in indices if not 0 <= i < count))}"
        )
    mask = np.zeros((1, count), np.float32)
    mask[:, indices] = 1
    return mask


def mask_feeds(
    interface: Interface, masks: Mapping[str, np.ndarray], added: Mapping[str, TensorSpec], samples: int | None
) -> dict[str, np.ndarray]:
    """Make the arrays for the inputs that take masks; ones where none is given and the file has no default.

    Raises InputError for a mask that is neither for one nor for `samples` samples, None if these are not known.
    """
    feeds = {}
    for name, where in interface.mask_inputs.items():
        spec, mask = added[where], masks.get(name)
        if mask is not None:
            if samples is not None and len(mask) not in (1, samples):
                raise InputError(f"there are {samples} samples, and masks of {name!r} for {len(mask)}")
            feeds[where] = mask.astype(spec.dtype)
        elif not spec.optional:
            count = (spec.shape or (None, 1))[-1]
            feeds[where] = np.ones((1, count if isinstance(count, int) else 1), spec.dtype)
    return feeds
