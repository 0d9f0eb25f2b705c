"""Relevance where it ends: at the inputs, or at inner values of a model that explains no input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.legend import Legend

if TYPE_CHECKING:
    from onnxlrp.runtime.explanation import Explanation


def relevance_at_ends(explanation: Explanation) -> Mapping[str, np.ndarray]:
    """Return the relevance that adds up to all that arrived, by input or inner value; empty if some of it is no
    output."""
    if explanation.relevance or explanation.interface is None:
        return explanation.relevance
    names = explanation.interface.stops_at
    known = explanation.relevance_at
    return {name: known[name] for name in names} if all(name in known for name in names) else {}


def inner_as_inputs(explanation: Explanation) -> Explanation:
    """Let views show the relevance of inner values as that of inputs, where no input is explained."""
    if explanation.relevance or not explanation.relevance_at:
        return explanation
    legend = explanation.legend or Legend()
    specs = {
        name: TensorSpec(name, array.dtype, _open(array.shape)) for name, array in explanation.relevance_at.items()
    }
    shown = dataclasses.replace(legend, specs={**legend.specs, **specs})
    return dataclasses.replace(explanation, relevance=explanation.relevance_at, legend=shown)


def _open(shape: tuple[int, ...]) -> tuple[int | str | None, ...]:
    """Leave the number of samples open, as a model's declaration does."""
    return ("N", *shape[1:]) if shape else ()
