"""Calls with `explain=False`: what the model is fed, and relevance that says why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.interface import Interface

NONE = "explain=False gave no relevance: call the explainer without it"


class NoRelevance(dict[str, np.ndarray]):
    """Relevance of a call with `explain=False`: empty, and asked for an input it says why."""

    def __missing__(self, name: str) -> NoReturn:
        raise InputError(NONE)


def switch_feeds(interface: Interface, explain: bool) -> dict[str, np.ndarray]:
    """Make the array for the input that switches relevance on and off, where it is needed.

    Raises InputError if relevance is to be switched off in a model that has no such input.
    """
    if not isinstance(explain, (bool, np.bool_)):
        raise InputError(f"explain is True or False, not {explain!r:.80}")
    if interface.explain_input is None:
        if not explain:
            raise InputError("this model always computes relevance: convert it with on_demand=True for explain=False")
        return {}
    return {} if explain and not interface.required else {interface.explain_input: np.array([explain])}


def relevance_of(interface: Interface, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Collect the relevance of each explained input from the outputs of a run; `NoRelevance` where they hold none."""
    found = {name: values[output] for name, output in interface.relevance.items() if output in values}
    return found if len(found) == len(interface.relevance) else NoRelevance()


def is_switched_off(explanation: Any) -> bool:
    """Decide whether an explanation comes from a call with `explain=False`."""
    return isinstance(explanation.relevance, NoRelevance)


def check_explained(explanation: Any) -> None:
    """Raise InputError if an explanation has no relevance, because it comes from a call with `explain=False`."""
    if is_switched_off(explanation):
        raise InputError(NONE)
