"""Arguments of `evaluate`: what was asked for, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.evaluation.measures import GROUPS
from onnxlrp.near_names import did_you_mean
from onnxlrp.runtime import text

BESIDE = ("random", "occlusion", "gradient_x_input")
"""Explanations that every composite is compared with."""


def asked_measures(measures: Sequence[str] | None, masks: Any) -> tuple[str, ...]:
    """Name the groups of measures to compute. Raises InputError for unknown ones."""
    if measures is None:
        return tuple(name for name in GROUPS if name != "localisation" or masks is not None)
    given = (measures,) if isinstance(measures, str) else tuple(measures)
    unknown = [name for name in given if name not in GROUPS]
    if unknown or not given:
        near = did_you_mean(unknown[0], GROUPS) if unknown else ""
        raise InputError(f"the measures are {', '.join(GROUPS)}, not {', '.join(map(repr, unknown)) or 'none'}{near}")
    if "localisation" in given and masks is None:
        raise InputError("localisation needs masks or boxes of where the evidence is")
    return given


def check_numbers(steps: int, confidence: float) -> None:
    """Raise InputError if one of these has no such value."""
    if not isinstance(steps, (int, np.integer)) or steps < 1:
        raise InputError(f"steps is a whole number from 1 on, not {steps!r:.80}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence lies between 0 and 1, not at {confidence!r:.80}")


def check_beside(beside: Sequence[str]) -> None:
    """Raise InputError for an explanation that cannot stand beside the composites."""
    unknown = [name for name in beside if name not in BESIDE]
    if unknown:
        raise InputError(
            f"beside the composites stand {', '.join(BESIDE)}, not {unknown[0]!r:.80}{did_you_mean(unknown[0], BESIDE)}"
        )


def named_composites(composites: Any, presets: Sequence[str]) -> dict[str, Any]:
    """Name each composite by its text; None stands for the presets. Raises InputError if two are the same."""
    if composites is None:
        return {name: name for name in presets}
    several = composites if isinstance(composites, Sequence) and not isinstance(composites, str) else [composites]
    if not several:
        raise InputError("there is no composite to evaluate")
    named = {str(one): one for one in several}
    if len(named) < len(several):
        raise InputError("two of the composites are the same")
    clash = [name for name in named if name in ("random", "occlusion")]
    if clash:
        raise InputError(f"{clash[0]!r} is no composite: it stands beside them")
    return named


def find_tokenizer(tokenizer: Any, model: Any) -> Any:
    """Return the caller's tokenizer, or the path of the one beside the model; None if there is neither."""
    return text.beside(model) if tokenizer is None else tokenizer


def mask_token_of(mask_token: int | None, tokenizer: Any) -> int | None:
    """Return the id that replaces tokens: the caller's, or the tokenizer's own; None if none is known."""
    if mask_token is not None or tokenizer is None:
        return mask_token
    if isinstance(tokenizer, text.Tokenizer):
        return tokenizer.mask_token
    try:
        return text.find(tokenizer, None).mask_token
    except OnnxLrpError:
        return None
