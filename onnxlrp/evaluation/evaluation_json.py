"""An evaluation as dictionaries and lists, for JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnxlrp.evaluation.evaluation_result import Evaluation


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Convert an evaluation: settings, measures, figures, differences from the best by area, curves, and notes."""
    about = {
        name: getattr(evaluation, name)
        for name in ("score", "samples", "units", "unit_count", "baseline", "steps", "confidence", "seed")
    }
    return plain_values(
        {
            **about,
            "measures": [dataclasses.asdict(measure) for measure in evaluation.measures],
            "figures": [
                dataclasses.asdict(evaluation.figure(name, measure.name))
                for name in evaluation.explanations
                for measure in evaluation.measures
            ],
            "differences": _differences(evaluation),
            "curves": {
                name: {
                    "shares": curves.shares.mean(axis=0),
                    "most_first": curves.most_first.mean(axis=0),
                    "least_first": curves.least_first.mean(axis=0),
                }
                for name, curves in evaluation.curves.items()
            },
            "conservation": {name: dataclasses.asdict(one) for name, one in evaluation.conservation.items()},
            "sanity": {name: dataclasses.asdict(one) for name, one in evaluation.sanity.items()},
            "notes": evaluation.notes,
        }
    )


def _differences(evaluation: Evaluation) -> list[dict[str, Any]]:
    """List the paired difference of every two explanations by area."""
    if "area" not in evaluation.values:
        return []
    names = evaluation.explanations
    pairs = [(a, b) for index, a in enumerate(names) for b in names[index + 1 :]]
    return [dataclasses.asdict(evaluation.difference(a, b)) for a, b in pairs]


def plain_values(value: Any) -> Any:
    """Replace arrays by lists, tuples by lists, and NaN by None."""
    if isinstance(value, np.ndarray):
        return plain_values(value.tolist())
    if isinstance(value, dict):
        return {key: plain_values(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
