"""Explanations as lists and numbers that JSON has."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from onnxlrp.interface import INNER, LEDGER_COLUMNS
from onnxlrp.runtime.cautions import Caution
from onnxlrp.runtime.explanation import Explanation


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Convert everything in an explanation to lists and numbers; NaN and infinity, which JSON lacks, become null."""
    ledger = explanation.ledger
    return {
        "ids": {name: plain(values) for name, values in explanation.ids.items()},
        "preprocess": {} if explanation.legend is None else dict(explanation.legend.pixels),
        "target": plain(explanation.target),
        "score": plain(explanation.score),
        "base_value": plain(explanation.base_value),
        "raw_score": plain(explanation.raw_score),
        "columns": {name: list(names) for name, names in explanation.columns.items()},
        "relevance": {name: plain(value) for name, value in explanation.relevance.items()},
        "relevance_indices": {name: plain(places) for name, places in explanation.relevance_indices.items()},
        "tokens": {name: [list(row.names) for row in rows] for name, rows in explanation.tokens.items()},
        **{field: {name: plain(v) for name, v in getattr(explanation, field).items()} for field in INNER},
        "interactions": plain(explanation.interactions),
        "outputs": {name: plain(value) for name, value in explanation.outputs.items()},
        "ledger": None if ledger is None else ledger_json(explanation),
    }


def ledger_json(explanation: Explanation) -> list[dict[str, Any]]:
    """Convert the ledger's rows to dictionaries; empty without a ledger."""
    ledger = explanation.ledger
    if ledger is None:
        return []
    keys = [column.replace(" ", "_") for column in LEDGER_COLUMNS]
    rows = zip(ledger.names, ledger.values, ledger.marked, strict=True)
    return [
        {"step": name, **dict(zip(keys, plain(row), strict=True)), "remainder": bool(mark)} for name, row, mark in rows
    ]


def cautions_json(cautions: Iterable[Caution]) -> Any:
    """Convert cautions to dictionaries."""
    return plain([dataclasses.asdict(caution) for caution in cautions])


def plain(value: Any) -> Any:
    """Convert arrays, maps and lists to types that JSON has; NaN and infinity, which it lacks, become None."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        if (value.dtype.kind == "f" and not np.isfinite(value).all()) or value.dtype.kind == "O":
            return plain(value.tolist())
        return (value + 0.0 if value.dtype.kind == "f" else value).tolist()  # -0.0 becomes 0.0
    if isinstance(value, np.generic):
        return plain(value.item())
    return value + 0.0 if np.isfinite(value) else None
