"""Explanations written by hand, with everything that a table, a reason or a plot shows."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.interface import Interface
from onnxlrp.runtime import Explanation
from onnxlrp.runtime.text import Tokens

INTERFACE = Interface(version="0", composite="lrp", output="y", source_sha256="", relevance={"x": "x_relevance"})


def churn(**changes: Any) -> Explanation:
    """Two customers in three columns, one of words: 0.5 − 1.5 + 0.25 and 1 + 0 − 2 above a base of 0.25."""
    fields: dict[str, Any] = {
        "relevance": {
            "age": np.float32([[0.5], [1]]),
            "debt": np.float32([[-1.5], [0]]),
            "contract": np.float32([[0.25], [-2]]),
        },
        "inputs": {
            "age": np.float32([[52], [19.5]]),
            "debt": np.float32([[1000], [np.nan]]),
            "contract": np.array([["month"], ["year"]], object),
        },
        "outputs": {},
        "relevance_at": {},
        "target": np.array([1, 0]),
        "score": np.float32([0.4, 0.3]),
        "ledger": None,
        "base_value": np.array([0.25, 0.25]),
        "raw_score": np.array([-0.5, -0.75]),
        "ids": {"customer": ["C-1", "C-2"]},
        "interface": Interface(
            version="0",
            composite="lrp",
            output="y",
            source_sha256="",
            relevance={name: f"{name}_relevance" for name in ("age", "debt", "contract")},
            labels=("stays", "leaves"),
        ),
    }
    return Explanation(**{**fields, **changes})


def review() -> Explanation:
    """Two texts of two and three tokens; the first is padded."""
    tokens = [
        Tokens((1, 2, 0), ("good", "film", "[PAD]"), (True, True, False)),
        Tokens((3, 2, 4), ("bad", "film", "!"), (True, True, True)),
    ]
    return churn(
        relevance={"ids": np.float32([[2, 1, 0], [-3, 1, 0.5]])},
        inputs={"ids": np.array([[1, 2, 0], [3, 2, 4]])},
        tokens={"ids": tokens},
        base_value=None,
        raw_score=None,
    )


def image(samples: int = 2) -> Explanation:
    """Pictures of 2 × 2 pixels in one channel."""
    x = np.arange(samples * 4, dtype=np.float32).reshape(samples, 1, 2, 2)
    numbers = {"target": np.zeros(samples, np.int64), "score": np.ones(samples, np.float32)}
    none = {"base_value": None, "raw_score": None, "ids": {}, "interface": INTERFACE}
    return churn(relevance={"x": x / 10}, inputs={"x": x}, **numbers, **none)
