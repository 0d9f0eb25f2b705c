"""A tuning as dictionaries and lists, for JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from onnxlrp.evaluation.evaluation_json import plain_values

if TYPE_CHECKING:
    from onnxlrp.evaluation.tuning_result import Tuning


def tuning_dict(tuning: Tuning) -> dict[str, Any]:
    """Convert a tuning: the outcome, both differences, all candidates, the held-out evaluation, and the file."""
    return plain_values(
        {
            "composite": tuning.name,
            "auto_stays": tuning.auto_stays,
            "winner": tuning.winner,
            "best_preset": tuning.best_preset,
            "difference_from_auto": dataclasses.asdict(tuning.difference()),
            "difference_from_best_preset": dataclasses.asdict(tuning.difference(tuning.best_preset)),
            "search_samples": tuning.search_samples,
            "model_sha256": tuning.sha256,
            "candidates": [dataclasses.asdict(one) for one in tuning.candidates],
            "held_out": tuning.held_out.to_dict(),
            "notes": tuning.notes,
            "toml": tuning.to_toml(),
        }
    )
