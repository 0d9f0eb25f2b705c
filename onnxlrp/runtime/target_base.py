"""The base value of a call's targets, and the raw score that base value and relevance add up to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from onnxlrp.interface import Interface
from onnxlrp.runtime.reduced_inputs import is_cut
from onnxlrp.runtime.sums import sums_of_samples
from onnxlrp.targets import TARGETS
from onnxlrp.targets.kind import Arguments, Resolved


def base_of_targets(
    interface: Interface, choice: Resolved, given: Arguments, value: Any, at_reference: Any = None
) -> np.ndarray | None:
    """Find the base value of each explained target, float64 [N], or [N, K] with K targets; None if there is none.

    `choice` is the target of the call, `given` holds its arguments, `value` is the explained output; `at_reference` are
    the scores at a reference, which are the base then.
    """
    base = _like_output(interface, value) if at_reference is None else np.asarray(at_reference, np.float64)
    if base is None:
        return None
    if "weights" in TARGETS[interface.target].arguments:
        weighted = np.broadcast_to(given.get("weights", 1.0), base.shape) * base
        kept = () if interface.batch_axis is None else (0,)
        return weighted.sum(axis=tuple(a for a in range(weighted.ndim) if a not in kept)).reshape(-1)
    chosen = {"target": choice.target, "position": choice.position}
    known = {name: array for name, array in chosen.items() if array is not None}
    return TARGETS[interface.target].resolve(known, base, None, interface).score if "target" in known else None


def raw_score(
    interface: Interface,
    base: np.ndarray | None,
    score: np.ndarray | None,
    relevance: Mapping[str, np.ndarray],
    axes: Mapping[str, int],
) -> np.ndarray | None:
    """Return the score that base value and relevance add up to, float64 in the shape of `base`; None without a base, or
    if it is no output and only the largest elements of relevance are.

    It is the output's own score where no function was skipped, else the sum, because the model does not output it; None
    where there is no relevance either.
    """
    if base is None:
        return None
    if interface.score_is_output and score is not None:
        return np.asarray(score, np.float64)
    if is_cut(interface) or not relevance:
        return None
    total, _ = sums_of_samples(relevance, interface, axes, len(base))
    return base + total.reshape(base.shape) if total.size == base.size else None


def _like_output(interface: Interface, value: Any) -> np.ndarray | None:
    """Repeat the base values for every sample, in the shape of the explained output or of a ZipMap's [N, classes]."""
    base = interface.base_values
    if base is None or interface.batch_axis not in (0, None):
        return None
    shape = (len(value), len(base)) if isinstance(value, list) else np.shape(value)
    inner = shape if interface.batch_axis is None else shape[1:]
    if int(np.prod(inner, dtype=np.int64)) != len(base):
        return None
    return np.broadcast_to(np.reshape(np.array(base, np.float64), inner), shape)
