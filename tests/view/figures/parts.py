"""Explanations for tests of figures, without a model: arrays, and what is known of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxlrp.interface import Interface
from onnxlrp.runtime import Explanation
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.legend import Legend

CLASSES = ("cat", "dog", "owl")


def explained(
    relevance: dict[str, np.ndarray],
    inputs: dict[str, np.ndarray] | None = None,
    shapes: dict[str, tuple[int | str | None, ...]] | None = None,
    axes: dict[str, int] | None = None,
    **changes: Any,
) -> Explanation:
    """An explanation of class 1 of three for every sample, whose scores are logits."""
    samples = len(next(iter(relevance.values())))
    inputs = {name: np.abs(array) for name, array in relevance.items()} if inputs is None else inputs
    specs = {
        name: TensorSpec(name, value.dtype, (shapes or {}).get(name, ("N", *value.shape[1:])))
        for name, value in inputs.items()
    }
    interface = Interface("0", "epsilon", "logits", "0", relevance={n: n for n in relevance}, score_is_output=True)
    fields: dict[str, Any] = {
        "outputs": {"logits": np.tile(np.array([0.0, 2.0, 1.0], np.float32), (samples, 1))},
        "relevance_at": {},
        "target": np.ones(samples, np.int64),
        "score": np.full(samples, 2.0, np.float32),
        "ledger": None,
        "inputs": inputs,
        "interface": interface,
        "legend": Legend(specs, "logits", CLASSES, sample_axes=axes or {}),
    }
    return Explanation(relevance=relevance, **{**fields, **changes})


def words(figure: Any) -> str:
    """Every text in a figure and its panels."""
    import matplotlib.text

    return "\n".join(text.get_text() for text in figure.findobj(matplotlib.text.Text))
