"""Check that the description in an explained model's metadata fits its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.interface import INNER, LEDGER_COLUMNS, Interface
from onnxlrp.printable import shape_text
from onnxlrp.reductions import Reduction
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.targets import TARGETS


def damaged(place: str, why: object) -> InvalidModelError:
    """Make the error for a description that cannot be true."""
    return InvalidModelError(
        f"{place}: the description that onnxlrp wrote into the model's metadata is damaged ({why}); convert the source "
        "again"
    )


def check(
    interface: Interface, explained: str, inputs: Mapping[str, TensorSpec], outputs: Mapping[str, TensorSpec]
) -> None:
    """Compare names, types and ranks with the declarations of the graph; `explained` is the output that shows the
    scores.

    Raises ValueError that says what is wrong.
    """
    relevance = [*interface.relevance.values(), *(name for f in INNER for name in getattr(interface, f).values())]
    if interface.target not in TARGETS:
        raise ValueError(f"onnxlrp.target is {interface.target!r:.80}, not {' or '.join(TARGETS)}")
    _check_names("input", [*interface.relevance, *interface.reference_inputs, *interface.names_of_added_inputs], inputs)
    added = [*relevance, *_some(interface.interactions, interface.ledger, interface.reference_scores)]
    _check_names("output", [explained, *added, *_some(interface.label_output)], outputs)
    twice = [name for name in [*added, explained] if [*added, explained].count(name) > 1]
    if twice:
        raise ValueError(f"output '{twice[0]}' is named for two purposes")
    for name in added:
        dtype = outputs[name].dtype
        if dtype is None or dtype.kind not in "fV":  # bfloat16 is a V to numpy
            raise ValueError(f"output {name!r} holds no relevance, it is {outputs[name]}")
    scores = outputs[explained].dtype
    if scores is not None and scores.kind == "O":
        raise ValueError(f"output '{explained}' holds no scores, it is {outputs[explained]}")
    _check_target(interface, inputs)
    _check_switch(interface, inputs)
    for name in interface.mask_inputs.values():
        dtype, shape = inputs[name].dtype, inputs[name].shape
        if dtype is None or dtype.kind != "f" or shape is None or len(shape) != 2:
            raise ValueError(f"input {name!r} takes no mask, it is {inputs[name]}")
    _check_reductions(interface, outputs)
    if interface.interactions is not None:
        _check_interactions(interface, outputs[interface.interactions].shape)
    if interface.ledger is not None:
        _check_ledger(interface, outputs[interface.ledger].shape)


def check_values(interface: Interface, feeds: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Compare the outputs of a run with the description. Raises ValueError that says what is wrong."""
    for name, output in interface.relevance.items():
        relevance, fed = values[output], feeds.get(name)
        if not isinstance(relevance, np.ndarray) or not isinstance(fed, np.ndarray):
            continue
        reduction = Reduction.parse(interface.reduce[name]) if name in interface.reduce else Reduction()
        if reduction.keeps_shape and relevance.ndim != fed.ndim + (interface.targets > 1):
            raise ValueError(
                f"the relevance of {name!r} {shape_text(fed.shape)} is {output!r} {shape_text(relevance.shape)}"
            )
        places = np.shape(values[interface.relevance_indices[name]]) if reduction.top is not None else relevance.shape
        if places != relevance.shape:
            raise ValueError(f"{output!r} {shape_text(relevance.shape)} has places {shape_text(places)}")
        if interface.targets > 1 and interface.targets not in relevance.shape[:2]:
            raise ValueError(f"{output!r} {shape_text(relevance.shape)} is not of {interface.targets} targets")
    if interface.ledger is not None:
        _check_ledger(interface, np.shape(values[interface.ledger]))


def _some(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def _check_names(kind: str, names: list[str], known: Mapping[str, TensorSpec]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"it names an {kind} '{missing[0]:.80}', which the graph does not have")


def _check_target(interface: Interface, inputs: Mapping[str, TensorSpec]) -> None:
    """Check the shape of the target's input: for classes [N], or [N, K] with K targets."""
    want = (None, *TARGETS[interface.target].sample_shape("target", interface))
    if interface.target_input is None:
        return
    spec = inputs[interface.target_input]
    shape = spec.shape or want
    sizes = zip(shape, want, strict=False)
    wrong = len(shape) != len(want) or any(isinstance(have, int) and size not in (None, have) for have, size in sizes)
    if spec.dtype != np.int64 or wrong:
        raise ValueError(f"input {spec.name!r} is {spec}, but {interface.targets} targets are explained")


def _check_switch(interface: Interface, inputs: Mapping[str, TensorSpec]) -> None:
    """Check that the input that switches relevance on and off takes one truth value."""
    if interface.explain_input is None:
        return
    spec = inputs[interface.explain_input]
    if spec.dtype != np.bool_ or spec.shape not in (None, (1,)):
        raise ValueError(f"input {spec.name!r} is {spec}, and cannot switch relevance on and off")


def _check_reductions(interface: Interface, outputs: Mapping[str, TensorSpec]) -> None:
    """Check that reductions can be read, and that those which keep the largest elements have outputs of places."""
    try:
        found = {name: Reduction.parse(text) for name, text in interface.reduce.items()}
    except InputError as error:
        raise ValueError(str(error)) from error
    cut = {name for name, reduction in found.items() if reduction.top is not None}
    named = {*found, *interface.channel_axes, *interface.unbatched}
    if not named <= {*interface.relevance} or cut != {*interface.relevance_indices}:
        raise ValueError("its reductions and the inputs that are explained do not agree")
    _check_names("output", [*interface.relevance_indices.values()], outputs)
    for name in interface.relevance_indices.values():
        if outputs[name].dtype != np.int64:
            raise ValueError(f"output {name!r} holds no places, it is {outputs[name]}")
    if any(not 0 <= axis < _AXES for axis in interface.channel_axes.values()):
        raise ValueError(f"the axes of channels are {interface.channel_axes!r:.80}")


_AXES = 64
"""Most axes that an array of numpy has."""


def _check_interactions(interface: Interface, shape: tuple[int | str | None, ...] | None) -> None:
    count = len(interface.interaction_columns)
    sizes = (count, count) if shape is None else shape[-2:]
    if any(isinstance(size, int) and size != count for size in sizes):
        raise ValueError(f"the interactions are {shape_text(shape)}, but {count} columns are named")


def _check_ledger(interface: Interface, shape: tuple[int | str | None, ...] | None) -> None:
    want = (len(interface.steps), len(LEDGER_COLUMNS))
    declared = want if shape is None else shape
    sizes = zip(declared, want, strict=False)
    if len(declared) != 2 or any(isinstance(have, int) and have != size for have, size in sizes):
        raise ValueError(f"the ledger is {shape_text(shape)}, but {want[0]} steps are named")
