"""The inner value whose channels are studied where the caller names none."""

from __future__ import annotations

from typing import Any

from onnxlrp.convert import inspect
from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Step


def last_convolution(model: Any, composite: Any, output: str | None) -> str:
    """Name the output of the last convolution that has more than one place.

    Raises InputError where the model has none.
    """
    steps = inspect(model, composite, output=output).steps
    found = next((step for step in steps if _is_convolution(step)), None)
    if found is None:
        raise InputError(
            "the model has no convolution with several places: name an inner value by layer= "
            "(on the command line --layer)"
        )
    return str(found.outputs[0].name)


def _is_convolution(step: Step) -> bool:
    if step.layer is None or step.layer.kind != "convolution" or step.layer.spatial < 1:
        return False
    shape = step.outputs[0].shape
    return shape is None or not all(size == 1 for size in shape[2:])
