"""Conservation: which share of relevance reaches the inputs, which is absorbed on the way, and which is lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxlrp.runtime.checking import conservation
from onnxlrp.runtime.explanation import Explanation


@dataclasses.dataclass(frozen=True)
class ConservationShares:
    """Shares of the relevance that started at the explained scores, over all samples; they add up to 1."""

    inputs: float
    """Share that reaches the inputs, a base value included."""
    bias: float
    """Share that constants absorb."""
    epsilon: float
    """Share that stabilisers absorb."""
    lost: float
    """Share that ends where no input is reached, and the share that nothing accounts for."""


def conservation_shares(explanations: Sequence[Explanation]) -> ConservationShares | None:
    """Add up the ledgers of all batches; None without ledgers, or if all scores add up to nothing."""
    parts = [part for one in explanations if (part := conservation(one)) is not None]
    seeds = sum(part.seeds for part in parts)
    scale = sum(float(np.abs(one.score).sum()) for one in explanations if one.score is not None)
    if not parts or abs(seeds) <= 1e-6 * scale or seeds == 0:
        return None
    inputs = sum(sum(part.inputs.values()) + (part.base or 0.0) for part in parts) / seeds
    bias = sum(part.bias for part in parts) / seeds
    epsilon = sum(part.epsilon for part in parts) / seeds
    return ConservationShares(inputs, bias, epsilon, 1 - inputs - bias - epsilon)
