"""Drift of a ranking of features, measured as Amazon SageMaker Clarify measures it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from onnxlrp.errors import InputError


def ranking_score(current: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """Compute how well the current ranking of features fits the baseline's attributions: the nDCG, from 0 to 1.

    With the features f′₁, f′₂, … in the order of the current attributions, the largest first, with f₁, f₂, … in that of
    the baseline's, and with a(f) the attribution of a feature in the baseline,

        nDCG = Σᵢ a(f′ᵢ) / log₂(i + 1)  ÷  Σᵢ a(fᵢ) / log₂(i + 1).

    It is 1 if the order is the same. A feature counts by its attribution in the baseline, so that a change of places
    among the large ones costs more than one among the small ones. Both mappings hold attributions that are not
    negative, such as mean absolute relevance; a feature that one of them lacks has 0 there. Features of equal
    attribution stand in the order of their names, so that the order of the columns in a file does not matter.

    Source: Amazon SageMaker Developer Guide, *Feature attribution drift for models in production*, which raises an
    alarm below 0.90; the measure is that of Järvelin and Kekäläinen (2002). Raises InputError if every attribution of
    the baseline is 0.

    ```python
    from onnxlrp.records.ranking_drift import ranking_score

    round(ranking_score({"SAT": 0.1, "GPA": 0.2, "rank": 0.7}, {"SAT": 0.7, "GPA": 0.5, "rank": 0.05}), 2)  # 0.69
    ```
    """
    names = sorted({*current, *baseline})
    ideal = _gain(ordered_names(baseline, names), baseline)
    if not ideal > 0:
        raise InputError("every relevance of the baseline is 0, so that it ranks nothing")
    return _gain(ordered_names(current, names), baseline) / ideal


def ordered_names(attributions: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Order names by their attributions, the largest first, equal ones as they are."""
    return sorted(names, key=lambda name: -attributions.get(name, 0.0))


def _gain(order: Sequence[str], attributions: Mapping[str, float]) -> float:
    values = np.array([attributions.get(name, 0.0) for name in order], dtype=np.float64)
    return float((values / np.log2(np.arange(2, len(values) + 2))).sum())
